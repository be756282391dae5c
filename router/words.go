package router

import (
	"strings"

	"homemail/words"
)

// A Code says what became of a port, or of all.
type Code string

// The codes.
const (
	NotAsked    Code = "not-asked"
	NothingToDo Code = "nothing" // there are no ports
	NoGateway   Code = "no-gateway"
	Public      Code = "public" // there is no router between us and the world
	Mapped      Code = "mapped"
	Open        Code = "open"     // the router has no firewall that would stop it
	Silent      Code = "silent"   // speaks nothing that we do
	Refused     Code = "refused"  // it may not, or has forbidden it
	Conflict    Code = "conflict" // another machine has the port
	Moved       Code = "moved"    // only another outer port can be had: MAP-E
	Offline     Code = "offline"  // the router itself has no connection
	Full        Code = "full"
	Odd         Code = "odd" // an answer that says nothing
)

// severity tells which code speaks for several ports.
var severity = map[Code]int{Mapped: 0, Open: 0, Odd: 1, Full: 2, Offline: 3, Refused: 4, Conflict: 5, Moved: 6, Silent: 7, NotAsked: 8}

// why is a code in words.
func why(c Code) words.Text { return words.Say("router." + string(c)).Text() }

// A refusal is a router's answer that is not what was asked for.
type refusal struct {
	code   Code
	detail string
}

func (e *refusal) Error() string { return string(e.code) + ": " + e.detail }

// printable keeps what can stand anywhere: in a log, on a page, in XML.
func printable(s string, most int) string {
	s = strings.Map(func(c rune) rune {
		if c < ' ' || c > '~' {
			return -1
		}
		return c
	}, s)
	return s[:min(len(s), most)]
}
