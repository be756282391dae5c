package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"homemail/admin"
	"homemail/store"
	"homemail/words"
)

// langWait is how long the house is asked for its language: nobody waits for
// that longer than for what it has to say.
const langWait = 2 * time.Second

// asked is the language that the command line or else the environment names, ""
// if neither names one of ours. In the environment the first that is set decides,
// as POSIX has it (Base Definitions §8.2).
func (in *invocation) asked() string {
	if in.global.lang != "" {
		return string(words.For(in.global.lang))
	}
	for _, name := range []string{"LC_ALL", "LC_MESSAGES", "LANG"} {
		if in.getenv == nil {
			break
		}
		if v := in.getenv(name); v != "" {
			if l, ok := words.Speaks(v); ok {
				return string(l)
			}
			break
		}
	}
	return ""
}

// lang is the language of who reads: as asked, or else that of the house.
func (in *invocation) lang() string {
	if in.reader == "" {
		in.reader = in.asked()
	}
	if in.reader == "" {
		in.reader = in.houseLang()
	}
	return in.reader
}

// houseLang asks the server, or reads what it keeps if none runs.
func (in *invocation) houseLang() string {
	english := string(words.English)
	c, err := in.settings()
	if err != nil {
		return english
	}
	ctx, cancel := context.WithTimeout(context.Background(), langWait)
	defer cancel()
	if client, err := admin.Dial(c.Data); err == nil {
		return client.Language(ctx)
	}
	if _, err := os.Stat(c.Data); err != nil {
		return english
	}
	s, err := store.Open(c.Data, store.Options{Log: quietLog(in.stderr), Reserve: int64(c.Store.Reserve)})
	if err != nil {
		return english
	}
	defer s.Close()
	return (&admin.House{Store: s}).Language()
}

// say is a phrase of the command line for who reads it.
func (in *invocation) say(key string, args ...any) string {
	return words.Say("cli."+key, args...).In(in.lang())
}

// line writes one.
func (in *invocation) line(key string, args ...any) {
	fmt.Fprintln(in.stdout, in.say(key, args...))
}

// warn says what an owner should know, beside the answer itself.
func (in *invocation) warn(list []words.Text) {
	for _, t := range list {
		fmt.Fprintf(in.stderr, "homemail: %s\n", t.In(in.lang()))
	}
}

// refuse is an error of the command line itself.
func refuse(key string, args ...any) error { return words.Because(nil, "cli."+key, args...) }

// why is an error for who reads it.
func (in *invocation) why(err error) string {
	if in.lang() == string(words.English) {
		return err.Error() // with all that is around a reason
	}
	_, said := words.Of(err)
	return said.In(in.lang())
}

// speaks reports whether a language was named that we speak, or none.
func speaks(tag string) bool {
	_, ok := words.Speaks(tag)
	return ok || tag == ""
}
