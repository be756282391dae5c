package main

import (
	"context"
	"os"
	"strings"

	"homemail/admin"
	"homemail/appliance/letters"
)

// boxChoice is where the console keeps a choice. It goes with the mail to another
// disk.
const boxChoice = boxData + "/console-language"

// A choice is a language that somebody chose at the keyboard. One from before the
// house was anybody's helped to set it up; then its owner's own counts.
type choice struct {
	lang  string // "" for none
	owned bool   // it was made since the house is somebody's
}

const beforeOwner = " set-up" // marks such a choice in its file

// readChoice reads a choice that was kept; what is none is none.
func readChoice(name string) (c choice) {
	b, err := os.ReadFile(name)
	if err != nil {
		return c
	}
	lang, early := strings.CutSuffix(strings.TrimSpace(string(b)), beforeOwner)
	if lang != "en" && lang != "ja" {
		return c
	}
	return choice{lang: lang, owned: !early}
}

// keep writes it down for the next start.
func (c choice) keep(name string) error {
	text := c.lang
	if !c.owned {
		text += beforeOwner
	}
	return letters.Replace(name, []byte(text+"\n"))
}

// of is the language of the console of a house that is somebody's.
func (c choice) of(house func() string) string {
	if c.owned {
		return c.lang
	}
	return house()
}

// ownersLang is the language of the house, or the one shown now if homemail does not
// answer.
func ownersLang(ctx context.Context, now string) string {
	a, err := admin.Dial(boxData)
	if err != nil {
		return now
	}
	return a.Language(ctx)
}
