// Command packaging makes what a release consists of, the same twice from one
// source:
//
//	go run ./packaging release [-version V] [-o DIR]
//	go run ./packaging update -parts DIR -notes-en FILE -notes-ja FILE -key FILE -o DIR
//
// The first makes programs for Linux and macOS, each with its SHA-256 and what
// it was built from, and Debian packages. The second signs what image -parts
// has written, for boxes to update themselves with.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		if !errors.Is(err, flag.ErrHelp) {
			fmt.Fprintln(os.Stderr, "packaging:", err)
		}
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) > 0 {
		switch args[0] {
		case "release":
			return release(ctx, args[1:])
		case "update":
			return signUpdate(args[1:])
		}
	}
	return errors.New("usage: packaging release|update [flags]")
}
