// Command homemail is a mail server for a family or a small office.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"

	"homemail/update"
)

// A command is what the first words of the command line name.
type command struct {
	name  string // "account add"
	args  string // what follows, for the help text
	about string
	min   int // arguments
	max   int
	// setup declares flags and returns what to do.
	setup func(*invocation, *flag.FlagSet) func(context.Context, []string) error
}

// An invocation is one run of the program.
type invocation struct {
	stdout io.Writer
	stderr io.Writer
	stdin  io.Reader
	getenv func(string) string // nil means that the environment says nothing
	reader string              // the language of who reads, once it was looked for
	global globals
}

// globals are the flags that every command has.
type globals struct {
	config string
	data   string
	json   bool
	lang   string
}

func main() {
	if words, ok := asInit(os.Args); ok {
		if code, done := beInit(words); done {
			os.Exit(code)
		}
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	in := &invocation{stdout: os.Stdout, stderr: os.Stderr, stdin: os.Stdin, getenv: os.Getenv}
	os.Exit(in.run(ctx, os.Args[1:]))
}

// run runs a command line and returns the exit code: 2 if it was not
// understood, 1 if it failed.
func (in *invocation) run(ctx context.Context, args []string) int {
	c, rest := find(args)
	if c == nil {
		return in.misunderstood(args)
	}
	flags := flag.NewFlagSet(c.name, flag.ContinueOnError)
	flags.SetOutput(in.stderr)
	flags.StringVar(&in.global.config, "config", "", "`FILE` with settings; without it the defaults apply")
	flags.StringVar(&in.global.data, "data", "", "`DIR` of the data, instead of the one that the settings name")
	flags.BoolVar(&in.global.json, "json", false, "print JSON, for programs")
	flags.StringVar(&in.global.lang, "lang", "", "`LANGUAGE` of what is said: en or ja; without it that of the environment (LC_ALL, LC_MESSAGES, LANG), else that of the house")
	flags.Usage = func() {
		fmt.Fprintf(in.stderr, "usage: homemail %s\n\n%s\n\n", strings.TrimSpace(c.name+" "+c.args), c.about)
		flags.PrintDefaults()
	}
	do := c.setup(in, flags)
	words, err := parseAll(flags, rest)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		return 2
	}
	if len(words) < c.min || len(words) > c.max {
		flags.Usage()
		return 2
	}
	if !speaks(in.global.lang) {
		fmt.Fprintf(in.stderr, "homemail: there is no language %q; right would be en or ja\n", in.global.lang)
		return 2
	}
	said := &counted{Writer: in.stdout}
	in.stdout = said
	err = do(ctx, words)
	if code := exitCode(0); errors.As(err, &code) {
		return int(code)
	}
	if err != nil {
		fmt.Fprintf(in.stderr, "homemail: %s\n", in.why(err))
		return 1
	}
	if in.global.json && said.n == 0 && c.name != "serve" {
		fmt.Fprintln(said, "{}") // a program that reads JSON gets some
	}
	return 0
}

// counted counts what is written.
type counted struct {
	io.Writer
	n int
}

func (c *counted) Write(b []byte) (int, error) {
	c.n += len(b)
	return c.Writer.Write(b)
}

// misunderstood tells the commands that could have been meant: those that
// begin with the same word, or else all.
func (in *invocation) misunderstood(args []string) int {
	var like []command
	for _, c := range commands() {
		if first, _, more := strings.Cut(c.name, " "); more && len(args) > 0 && args[0] == first {
			like = append(like, c)
		}
	}
	if like != nil {
		list(in.stderr, like)
	} else {
		usage(in.stderr)
	}
	if len(args) == 0 || slices.Contains([]string{"help", "-h", "-help", "--help"}, args[len(args)-1]) {
		return 0
	}
	fmt.Fprintln(in.stderr)
	fmt.Fprintf(in.stderr, "homemail: %s\n", in.say("no-command", "command", strings.Join(args, " ")))
	return 2
}

// parseAll parses flags before, between and after the arguments.
func parseAll(flags *flag.FlagSet, args []string) (words []string, err error) {
	for {
		if err := flags.Parse(args); err != nil {
			return nil, err
		}
		if flags.NArg() == 0 {
			return words, nil
		}
		words = append(words, flags.Arg(0))
		args = flags.Args()[1:]
	}
}

// find returns the command that args begin with, the longest if there are
// several, and the rest.
func find(args []string) (found *command, rest []string) {
	rest = args
	for _, c := range commands() {
		words := strings.Fields(c.name)
		if n := len(words); n > len(args)-len(rest) && n <= len(args) && slices.Equal(args[:n], words) {
			found, rest = &c, args[n:]
		}
	}
	return found, rest
}

func usage(w io.Writer) {
	fmt.Fprint(w, "homemail is a mail server for a family or a small office.\n\nusage: homemail COMMAND [flags]\n\n")
	list(w, commands())
}

func list(w io.Writer, of []command) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, c := range of {
		fmt.Fprintf(t, "  %s\t%s\n", strings.TrimSpace(c.name+" "+c.args), c.about)
	}
	t.Flush()
	fmt.Fprint(w, "\nhomemail COMMAND -h tells a command's flags.\n")
}

func commands() []command {
	return slices.Concat([]command{
		{"try", "", "run a whole server with two people and some mail, for trying out; needs no set-up", 0, 0, try},
		{"serve", "", "run the server", 0, 0, serve},
	}, setupCommands(), ownerCommands(), sessionCommands(), tokenCommands(), vacationCommands(), routeCommands(), queueCommands(), eventCommands(), bridgeCommands(), machineCommands(), keyCommands(), certificateCommands(), reportCommands(), dnsCommands(), lineCommands(), settingCommands(), updateCommands(), boxCommands(), []command{
		{"version", "", "show the version", 0, 0, showVersion},
	})
}

// version is what the build knows of itself.
func version() string {
	if v := update.Release(); v != update.Development {
		return string(v)
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	v := info.Main.Version
	if v == "" {
		v = "(devel)"
	}
	return v
}

func showVersion(in *invocation, _ *flag.FlagSet) func(context.Context, []string) error {
	return func(context.Context, []string) error {
		info, _ := debug.ReadBuildInfo()
		if in.global.json {
			return in.print(map[string]string{"version": version(), "go": info.GoVersion})
		}
		fmt.Fprintf(in.stdout, "homemail %s, %s\n", version(), info.GoVersion)
		return nil
	}
}
