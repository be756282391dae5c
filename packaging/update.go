package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"aead.dev/minisign"
	"golang.org/x/term"

	"homemail/store"
	"homemail/update"
	"homemail/update/press"
)

// signUpdate makes an update of the parts of an image.
func signUpdate(args []string) error {
	f := flag.NewFlagSet("update", flag.ContinueOnError)
	parts := f.String("parts", "", "`DIR` that image -parts has written")
	en := f.String("notes-en", "", "`FILE` that says in English what is new")
	ja := f.String("notes-ja", "", "`FILE` that says the same in Japanese")
	key := f.String("key", "", "`FILE` with the secret key of minisign; its password is asked for, or in MINISIGN_PASSWORD")
	kernel := f.String("args", "", "arguments for the kernel, but root= and homemail.slot=; without it they stay as they are")
	out := f.String("o", "dist", "`DIR` to write to")
	if err := f.Parse(args); err != nil {
		return err
	}
	made, err := imageRelease(*parts)
	if err != nil {
		return err
	}
	m := update.Manifest{
		Version: update.Version(made["version"]), Target: made["target"], Created: time.Now().UTC().Truncate(time.Second), Args: *kernel,
		Schema: update.Schema{Schema: store.SchemaReads, ReadableBy: store.SchemaWrites},
	}
	for _, n := range []struct {
		file string
		to   *string
	}{{*en, &m.Notes.EN}, {*ja, &m.Notes.JA}} {
		b, err := os.ReadFile(n.file)
		if err != nil {
			return fmt.Errorf("what is new, in both languages: %w", err)
		}
		*n.to = string(b)
	}
	secret, err := secretKey(*key)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(*out, 0o755); err != nil {
		return err
	}
	file, err := press.Press(*out, press.Sheet{Manifest: m, Root: filepath.Join(*parts, update.RootName), Boot: os.DirFS(filepath.Join(*parts, "slot")), Key: secret})
	if err != nil {
		return err
	}
	fmt.Println(file)
	return nil
}

// imageRelease is what image says of what it has made.
func imageRelease(parts string) (map[string]string, error) {
	b, err := os.ReadFile(filepath.Join(parts, "release"))
	if err != nil {
		return nil, fmt.Errorf("the parts of an image: %w", err)
	}
	said := map[string]string{}
	for line := range strings.Lines(string(b)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		said[name] = value
	}
	return said, nil
}

// secretKey reads a key of minisign.
func secretKey(file string) (k minisign.PrivateKey, err error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return k, fmt.Errorf("the key to sign with: %w", err)
	}
	if !minisign.IsEncrypted(b) {
		return k, k.UnmarshalText(b)
	}
	password, ok := os.LookupEnv("MINISIGN_PASSWORD")
	if !ok {
		fmt.Fprint(os.Stderr, "Password of the key: ")
		text, err := term.ReadPassword(int(os.Stdin.Fd()))
		fmt.Fprintln(os.Stderr)
		if err != nil {
			return k, errors.Join(errors.New("the password can be given in MINISIGN_PASSWORD, too"), err)
		}
		password = string(text)
	}
	return minisign.DecryptKey(password, b)
}
