package main

import (
	"bufio"
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"homemail/admin"
	"homemail/dnsplan/publish"
)

// providerCommands say where the house may change the DNS by itself.
func providerCommands() []command {
	return []command{
		{"dns providers", "", "list the DNS providers that homemail knows, and what each wants to know", 0, 0, listProviders},
		{"dns provider set", "ZONE PROVIDER", "let homemail change a zone's records; the credentials are asked for, tried, and kept", 2, 2, setProvider},
		{"dns provider follow", "ZONE on|off", "keep a zone's address records up to date without asking, or no longer", 2, 2, followProvider},
		{"dns provider list", "", "list the zones that homemail may change, and how their addresses are", 0, 0, listZones},
		{"dns provider remove", "ZONE", "forget a zone's provider and credentials; the records stay", 1, 1, removeNamed("zone.remove")},
		{"dyndns add", "HOST SERVICE USER", "tell a dyndns2 service the house's address whenever it changes; the password is asked for", 3, 3, addDyndns},
		{"dyndns list", "", "list the names at dyndns2 services, and how they are", 0, 0, listDyndns},
		{"dyndns remove", "HOST", "tell a dyndns2 service no more", 1, 1, removeNamed("dyndns.remove")},
	}
}

func removeNamed(operation string) func(*invocation, *flag.FlagSet) action {
	return func(in *invocation, _ *flag.FlagSet) action {
		return func(ctx context.Context, args []string) error {
			return in.ask(ctx, operation, admin.Name{Name: args[0]}, &admin.Empty{})
		}
	}
}

func listProviders(in *invocation, f *flag.FlagSet) action {
	return func(context.Context, []string) error {
		list := publish.Providers()
		if in.global.json {
			return in.print(list)
		}
		for _, p := range list {
			fmt.Fprintf(in.stdout, "%s  %s\n", p.ID, p.Name)
			for _, c := range p.Credentials {
				more := ""
				if c.Optional {
					more = " (" + in.say("optional") + ")"
				}
				fmt.Fprintf(in.stdout, "    %s=  %s%s\n", c.Name, c.Label.In(in.lang()), more)
			}
			fmt.Fprintf(in.stdout, "    %s\n", p.Where.In(in.lang()))
			if p.URL != "" {
				fmt.Fprintf(in.stdout, "    %s\n", p.URL)
			}
		}
		return nil
	}
}

func setProvider(in *invocation, f *flag.FlagSet) action {
	file := f.String("file", "", "read the credentials from `FILE`, as lines name=value")
	follow := f.Bool("follow", false, "keep the zone's address records up to date without asking")
	return func(ctx context.Context, args []string) error {
		info, err := findProvider(args[1])
		if err != nil {
			return err
		}
		credentials, err := in.credentials(info, *file)
		if err != nil {
			return err
		}
		var n admin.Notes
		if err := in.ask(ctx, "zone.set", admin.SetZone{Zone: args[0], Provider: info.ID, Credentials: credentials, Follow: *follow}, &n); err != nil {
			return err
		}
		if in.global.json {
			return in.print(n)
		}
		in.warn(n.Told)
		in.line("provider.set", "zone", args[0], "provider", info.Name)
		return nil
	}
}

func findProvider(id string) (publish.ProviderInfo, error) {
	var known []string
	for _, p := range publish.Providers() {
		if p.ID == id {
			return p, nil
		}
		known = append(known, p.ID)
	}
	return publish.ProviderInfo{}, refuse("no-provider", "name", id, "list", strings.Join(known, ", "))
}

// credentials asks at a terminal for each, and elsewhere reads lines name=value.
func (in *invocation) credentials(info publish.ProviderInfo, file string) (map[string]string, error) {
	if file != "" {
		b, err := os.Open(file)
		if err != nil {
			return nil, err
		}
		defer b.Close()
		return readCredentials(b)
	}
	f, ok := in.stdin.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return readCredentials(in.stdin)
	}
	fmt.Fprintf(in.stderr, "%s\n%s\n", info.Where.In(in.lang()), info.URL)
	lines, out := bufio.NewReader(f), map[string]string{}
	for _, c := range info.Credentials {
		prompt := c.Label.EN
		if c.Optional {
			prompt += " (may be empty)"
		}
		fmt.Fprintf(in.stderr, "%s: ", prompt)
		var typed string
		var err error
		if c.Secret {
			var b []byte
			b, err = term.ReadPassword(int(f.Fd()))
			typed = string(b)
			fmt.Fprintln(in.stderr)
		} else {
			typed, err = lines.ReadString('\n')
		}
		if err != nil {
			return nil, refuse("nothing-kept")
		}
		if typed = strings.TrimSpace(typed); typed != "" {
			out[c.Name] = typed
		}
	}
	return out, nil
}

const maxCredentials = 64 << 10 // bytes; the longest key is of some hundreds

// readCredentials reads lines name=value. Empty lines and those that begin with
// # are left out.
func readCredentials(r io.Reader) (map[string]string, error) {
	out := map[string]string{}
	for s, n := bufio.NewScanner(io.LimitReader(r, maxCredentials)), 1; s.Scan(); n++ {
		line := strings.TrimSpace(s.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		if !ok {
			return nil, refuse("credentials-line", "n", n) // and may be a secret
		}
		out[strings.TrimSpace(name)] = strings.TrimSpace(value)
	}
	return out, nil
}

func followProvider(in *invocation, _ *flag.FlagSet) action {
	return func(ctx context.Context, args []string) error {
		if args[1] != "on" && args[1] != "off" {
			return refuse("on-off", "text", args[1])
		}
		return in.ask(ctx, "zone.follow", admin.FollowZone{Zone: args[0], Follow: args[1] == "on"}, &admin.Empty{})
	}
}

func listZones(in *invocation, _ *flag.FlagSet) action {
	return func(ctx context.Context, _ []string) error {
		var list []admin.ZoneState
		if err := in.ask(ctx, "zone.list", admin.Empty{}, &list); err != nil {
			return err
		}
		if in.global.json {
			return in.print(list)
		}
		var rows [][]string
		for _, z := range list {
			addresses, state := "changed only when you say so", "-"
			if z.Follow {
				addresses, state = updaterText(z.Updater)
			}
			if z.Trouble != "" {
				state = z.Trouble
			}
			rows = append(rows, []string{z.Name, z.Provider, addresses, state})
		}
		return in.table("ZONE PROVIDER ADDRESSES STATE", rows)
	}
}

// updaterText tells which addresses a place has, and how it stands.
func updaterText(u *admin.Updater) (addresses, state string) {
	switch {
	case u == nil:
		return "-", "waits for the server to run"
	case u.Error != "" && u.Stopped:
		state = "needs you: " + u.Error
	case u.Error != "":
		state = "tries again at " + u.Next.Local().Format(time.DateTime) + ": " + u.Error
	case u.Done == "":
		state = "not told yet"
	default:
		state = "told " + u.At.Local().Format(time.DateTime)
	}
	if u.Done == "" {
		return "-", state
	}
	return u.Done, state
}

func addDyndns(in *invocation, _ *flag.FlagSet) action {
	return func(ctx context.Context, args []string) error {
		password, err := in.readSecret(in.say("ask.service"))
		if err != nil {
			return err
		}
		return in.ask(ctx, "dyndns.add", admin.AddDyndns{Host: args[0], Service: args[1], User: args[2], Password: password}, &admin.Empty{})
	}
}

// readSecret asks once at a terminal, as somebody else has made the secret, and
// reads a line elsewhere.
func (in *invocation) readSecret(prompt string) (string, error) {
	f, ok := in.stdin.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return in.readPassword()
	}
	fmt.Fprint(in.stderr, prompt, " ")
	b, err := term.ReadPassword(int(f.Fd()))
	fmt.Fprintln(in.stderr)
	return string(b), err
}

func listDyndns(in *invocation, _ *flag.FlagSet) action {
	return func(ctx context.Context, _ []string) error {
		var list []admin.NameState
		if err := in.ask(ctx, "dyndns.list", admin.Empty{}, &list); err != nil {
			return err
		}
		if in.global.json {
			return in.print(list)
		}
		var rows [][]string
		for _, n := range list {
			addresses, state := updaterText(n.Updater)
			if n.Trouble != "" {
				state = "needs you: " + n.Trouble
			}
			rows = append(rows, []string{n.Host, n.Service, n.User, addresses, state})
		}
		return in.table("HOST SERVICE USER ADDRESSES STATE", rows)
	}
}
