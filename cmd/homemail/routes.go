package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"golang.org/x/term"

	"homemail/admin"
	"homemail/mail"
	"homemail/outbound"
	"homemail/relay"
	"homemail/relay/preset"
)

// routeCommands are about the ways out of the house.
func routeCommands() []command {
	return []command{
		{"route set", "DOMAIN direct|off|smarthost|direct-then-smarthost [SMARTHOST]", "say how mail for a domain leaves; \"default\" is for all others, .example.org for all below it", 2, 3, setRoute},
		{"route list", "", "list how mail leaves", 0, 0, listRoutes},
		{"route remove", "DOMAIN", "let mail for a domain leave like all other", 1, 1, removeRoute},
		{"route sender", "ADDRESS [SMARTHOST]", "send mail from an address that is hosted elsewhere through its own server", 1, 2, setSender},
		{"smarthost presets", "", "list the providers that homemail knows", 0, 0, listPresets},
		{"smarthost add", "NAME", "try a server that sends for you, and keep it if it works; the password is asked for", 1, 1, addSmarthost},
		{"smarthost test", "NAME", "try a smarthost without sending anything", 1, 1, testSmarthost},
		{"smarthost list", "", "list the smarthosts", 0, 0, listSmarthosts},
		{"smarthost remove", "NAME", "forget a smarthost and its password", 1, 1, removeSmarthost},
		{"forward", "ADDRESS [TO...]", "let an account's mail go to other addresses too; without TO it ends", 1, 11, forward},
	}
}

func setRoute(in *invocation, f *flag.FlagSet) action {
	after := f.Int("after", 2, "with direct-then-smarthost: after `N` tries")
	force := forcePolicy(f)
	return func(ctx context.Context, args []string) error {
		q := admin.SetRoute{Route: admin.Route{Domain: args[0], Way: relay.Way(args[1])}, Force: *force}
		if q.Way == "off" {
			q.Way = relay.Off
		}
		if q.Way == relay.DirectThenVia {
			q.After = *after
		}
		if len(args) > 2 {
			q.Smarthost = args[2]
		}
		if q.Smarthost != "" && (q.Way == relay.Direct || q.Way == relay.Off) {
			return refuse("route.without", "way", args[1])
		}
		return in.ask(ctx, "route.set", q, &admin.Empty{})
	}
}

// forcePolicy is the flag of what ends a policy of MTA-STS.
func forcePolicy(f *flag.FlagSet) *bool {
	return f.Bool("force", false, "do it though others hold to the MTA-STS policy of a domain, and its mail may not arrive for two weeks")
}

func removeRoute(in *invocation, f *flag.FlagSet) action {
	force := forcePolicy(f)
	return func(ctx context.Context, args []string) error {
		return in.ask(ctx, "route.remove", admin.RemoveRoute{Domain: args[0], Force: *force}, &admin.Empty{})
	}
}

func setSender(in *invocation, _ *flag.FlagSet) action {
	return func(ctx context.Context, args []string) error {
		q := admin.SenderRoute{Address: mail.Path(args[0])}
		if len(args) > 1 {
			q.Smarthost = args[1]
		}
		return in.ask(ctx, "route.sender", q, &admin.Empty{})
	}
}

func listRoutes(in *invocation, _ *flag.FlagSet) action {
	return func(ctx context.Context, _ []string) error {
		var r admin.Routes
		if err := in.ask(ctx, "route.list", admin.Empty{}, &r); err != nil {
			return err
		}
		if in.global.json {
			return in.print(r)
		}
		var rows [][]string
		for _, s := range r.Senders {
			rows = append(rows, []string{"from " + string(s.Address), "smarthost", s.Smarthost})
		}
		for _, d := range r.Domains {
			way, through := string(d.Way), d.Smarthost
			if d.Way == relay.Off {
				way = "off"
			}
			if d.Way == relay.DirectThenVia {
				through += " after " + strconv.Itoa(d.After) + " tries"
			}
			rows = append(rows, []string{"to " + d.Domain, way, through})
		}
		return in.table("MAIL LEAVES THROUGH", rows)
	}
}

func listPresets(in *invocation, f *flag.FlagSet) action {
	return func(ctx context.Context, _ []string) error {
		var list []preset.Preset
		if err := in.ask(ctx, "smarthost.presets", admin.Empty{}, &list); err != nil {
			return err
		}
		if in.global.json {
			return in.print(list)
		}
		for _, p := range list {
			host := p.Host
			if host == "" {
				host = p.HostHint
			}
			fmt.Fprintf(in.stdout, "%-14s %s\n%14s %s\n%14s %s\n", p.ID, p.Name.In(in.lang()), "", in.say("smarthost.port", "host", host, "port", p.Port), "", p.Note.In(in.lang()))
		}
		return nil
	}
}

// smarthostFlags declares what there is to say about a smarthost.
func smarthostFlags(f *flag.FlagSet) func(name string) (outbound.Smarthost, error) {
	var h outbound.Smarthost
	f.StringVar(&h.Preset, "preset", "", "take host, port and the rest from a provider's `ID`; see: homemail smarthost presets")
	f.StringVar(&h.Host, "host", "", "`HOST` name of the server")
	f.IntVar(&h.Port, "port", 0, "`PORT`; 465 if the connection is secure from the start, 587 if not")
	f.StringVar(&h.TLS, "tls", "", "implicit or starttls, or none for a server on this computer")
	f.StringVar(&h.User, "user", "", "`NAME` to sign in with")
	f.StringVar(&h.Mechanism, "mechanism", "", "how to sign in, such as XOAUTH2; else the strongest that the server has")
	f.StringVar(&h.Pin, "pin", "", "SHA-256 `FINGERPRINT` of the server's certificate, if no authority vouches for it")
	senders := f.String("senders", "", "take mail from these only: `ADDRESSES` with commas between, or @domains")
	return func(name string) (outbound.Smarthost, error) {
		h.Name = name
		if *senders != "" {
			h.From = strings.Split(*senders, ",")
		}
		return h, h.Complete()
	}
}

func addSmarthost(in *invocation, f *flag.FlagSet) action {
	build := smarthostFlags(f)
	from := f.String("from", "", "try it with mail from this `ADDRESS`; else from the name to sign in with")
	untried := f.Bool("untried", false, "keep it without trying it")
	usual := f.Bool("default", false, "let all mail leave through it from now on")
	file := f.String("password-file", "", "read the password from a `FILE` instead of asking")
	return func(ctx context.Context, args []string) error {
		h, err := build(args[0])
		if err != nil {
			return err
		}
		q := admin.SaveSmarthost{Smarthost: h, Sender: mail.Path(*from), Untried: *untried, Default: *usual}
		if h.User != "" {
			if q.Password, err = in.secret(in.say("ask.password", "user", h.User, "host", h.Host), *file); err != nil {
				return err
			}
		}
		var r relay.Report
		if err := in.ask(ctx, "smarthost.save", q, &r); err != nil {
			return err
		}
		if in.global.json {
			return in.print(r)
		}
		in.tellSteps(r)
		in.line("smarthost.kept", "name", h.Name)
		if !*usual {
			in.line("smarthost.next", "name", h.Name)
		}
		return nil
	}
}

// secret reads a password from a file, or asks for it.
func (in *invocation) secret(prompt, file string) (string, error) {
	if file != "" {
		b, err := os.ReadFile(file)
		return strings.TrimRight(string(b), "\r\n"), err
	}
	fmt.Fprint(in.stderr, prompt, " ")
	if t, ok := in.stdin.(*os.File); ok && term.IsTerminal(int(t.Fd())) {
		b, err := term.ReadPassword(int(t.Fd()))
		fmt.Fprintln(in.stderr)
		return string(b), err
	}
	b, err := io.ReadAll(io.LimitReader(in.stdin, 4096))
	line, _, _ := strings.Cut(string(b), "\n")
	return strings.TrimRight(line, "\r"), err
}

func (in *invocation) tellSteps(r relay.Report) {
	for _, s := range r.Done {
		text := s.Text
		if s.Said.Code != 0 {
			text = s.Said.String()
		}
		fmt.Fprintf(in.stdout, "ok  %-10s %s\n", s.Name, text)
	}
}

func testSmarthost(in *invocation, f *flag.FlagSet) action {
	from := f.String("from", "", "with mail from this `ADDRESS`; else from the name to sign in with")
	return func(ctx context.Context, args []string) error {
		var r relay.Report
		if err := in.ask(ctx, "smarthost.test", admin.TrySmarthost{Name: args[0], Sender: mail.Path(*from)}, &r); err != nil {
			return err
		}
		if in.global.json {
			return in.print(r)
		}
		in.tellSteps(r)
		return nil
	}
}

func listSmarthosts(in *invocation, _ *flag.FlagSet) action {
	return func(ctx context.Context, _ []string) error {
		var list []outbound.Smarthost
		if err := in.ask(ctx, "smarthost.list", admin.Empty{}, &list); err != nil {
			return err
		}
		if in.global.json {
			return in.print(list)
		}
		var rows [][]string
		for _, h := range list {
			rows = append(rows, []string{h.Name, h.Host, strconv.Itoa(h.Port), h.TLS, h.User, strings.Join(h.From, ",")})
		}
		return in.table("NAME HOST PORT TLS USER SENDERS", rows)
	}
}

func removeSmarthost(in *invocation, _ *flag.FlagSet) action {
	return func(ctx context.Context, args []string) error {
		return in.ask(ctx, "smarthost.remove", admin.Name{Name: args[0]}, &admin.Empty{})
	}
}

func forward(in *invocation, f *flag.FlagSet) action {
	only := f.Bool("only", false, "keep no copy here; junk stays here all the same")
	return func(ctx context.Context, args []string) error {
		q := admin.Forward{Address: mail.Path(args[0]), Only: *only}
		for _, to := range args[1:] {
			q.To = append(q.To, mail.Path(to))
		}
		return in.ask(ctx, "forward", q, &admin.Empty{})
	}
}

func removeDomain(in *invocation, f *flag.FlagSet) action {
	force := forcePolicy(f)
	return func(ctx context.Context, args []string) error {
		return in.ask(ctx, "domain.remove", admin.RemoveDomain{Address: mail.Path(args[0]), Force: *force}, &admin.Empty{})
	}
}
