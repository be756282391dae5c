package console

import (
	"strings"
	"unicode/utf8"
)

// A Task is what somebody at the keyboard wants.
type Task int

// The tasks.
const (
	Nothing   Task = iota
	Language       // Arg is "en" or "ja"
	Automatic      // ask the network for an address
	Address        // Arg and Router
	NewOwner       // a new password for the owner
	PowerOff
)

// An Order is a task with what it needs.
type Order struct {
	Task   Task
	Arg    string
	Router string
}

// state is where somebody is in the menu.
type state int

const (
	top state = iota
	language
	networks
	address
	router
	owner
	power
	reading // of what is shown only once
)

const typedMax = 64 // characters: no address is longer

// A Menu is what the keyboard does. The zero Menu is at its top.
type Menu struct {
	at      state
	typed   string
	address string
	bad     bool
	// Fits reports whether an address, and a router with it, are such. Nil takes
	// any.
	Fits func(address, router string) bool
}

const escape = 0x1b

// Press takes a key and returns what is to be done, if the menu is through.
func (m *Menu) Press(key rune) (o Order) {
	m.bad = false
	if key == escape || m.at == reading {
		*m = Menu{Fits: m.Fits}
		return o
	}
	switch m.at {
	case top:
		m.at = map[rune]state{'1': language, '2': networks, '3': owner, '4': power}[key]
	case language:
		o = m.choose(key, map[rune]Order{'1': {Task: Language, Arg: "en"}, '2': {Task: Language, Arg: "ja"}})
	case networks:
		if key == '2' {
			m.at = address
			return o
		}
		o = m.choose(key, map[rune]Order{'1': {Task: Automatic}})
	case address, router:
		return m.type1(key)
	case owner:
		o = m.choose(key, map[rune]Order{'1': {Task: NewOwner}, '2': {}})
	case power:
		o = m.choose(key, map[rune]Order{'1': {Task: PowerOff}, '2': {}})
	}
	return o
}

// choose takes one of some keys; others are not heard.
func (m *Menu) choose(key rune, by map[rune]Order) (o Order) {
	o, ok := by[key]
	if ok {
		*m = Menu{Fits: m.Fits}
	}
	return o
}

// type1 takes one key of an address.
func (m *Menu) type1(key rune) (o Order) {
	switch {
	case key == '\r' || key == '\n':
		return m.entered()
	case key == 0x7f || key == '\b':
		_, n := utf8.DecodeLastRuneInString(m.typed)
		m.typed = m.typed[:len(m.typed)-n]
	case strings.ContainsRune("0123456789./", key) && len(m.typed) < typedMax:
		m.typed += string(key)
	}
	return o
}

func (m *Menu) entered() (o Order) {
	typed := m.typed
	m.typed = ""
	if m.at == address {
		m.address, m.at = typed, router
		return o
	}
	if m.Fits != nil && !m.Fits(m.address, typed) {
		m.at, m.bad = address, true
		return o
	}
	o = Order{Address, m.address, typed}
	*m = Menu{Fits: m.Fits}
	return o
}

// Read waits for a key before what is shown goes away.
func (m *Menu) Read() { *m = Menu{at: reading, Fits: m.Fits} }

// Reading reports whether something is shown that goes away with the next key.
func (m *Menu) Reading() bool { return m.at == reading }

// Prompt is what is asked, "" at the top.
func (m *Menu) Prompt(w Words) string {
	key := map[state]string{
		language: "console.language", networks: "console.network", address: "console.network.address", router: "console.network.router",
		owner: "console.owner.sure", power: "console.power.sure",
	}[m.at]
	if key == "" {
		return ""
	}
	if m.bad {
		return w.Say("console.network.bad") + " " + w.Say(key)
	}
	return w.Say(key)
}

// Typed is what was typed so far.
func (m *Menu) Typed() string { return m.typed }
