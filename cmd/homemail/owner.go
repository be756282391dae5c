package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/term"

	"homemail/admin"
	"homemail/config"
	"homemail/mail"
	"homemail/store"
	"homemail/words"
)

// ownerCommands are those that go to a running server, or to the store if none
// runs.
func ownerCommands() []command {
	return []command{
		{"account add", "ADDRESS", "make an account; its mail programs need a device password each", 1, 1, addAccount},
		{"account list", "", "list the accounts", 0, 0, listAccounts},
		{"account remove", "ADDRESS", "remove an account with all its mail", 1, 1, removeAccount},
		{"account disable", "ADDRESS", "end an account's sessions; it can neither sign in nor get mail", 1, 1, disableAccount(true)},
		{"account enable", "ADDRESS", "let a disabled account sign in and get mail again", 1, 1, disableAccount(false)},
		{"account quota", "ADDRESS SIZE", "set how much mail an account may keep: 5GB, 500 MiB, or 0 for no limit", 2, 2, setQuota},
		{"account keep", "ADDRESS DAYS", "keep what POP3 has fetched for some days; 0 is for ever", 2, 2, setKeep},
		{"account language", "ADDRESS en|ja", "say in which language a person is told what could not be delivered", 2, 2, setLanguage},
		{"password", "ADDRESS", "set a person's own password, for the web; it is asked for", 1, 1, setPassword},
		{"device add", "ADDRESS NAME", "make a password for one mail program, shown this once", 2, 2, addDevice},
		{"device list", "ADDRESS", "list the mail programs that may sign in, and when each did", 1, 1, listDevices},
		{"device revoke", "ADDRESS DEVICE", "end a device's sessions and take its password back", 2, 2, revokeDevice},
		{"alias add", "ADDRESS TO...", "let an address lead to others; @DOMAIN takes what nobody else takes", 2, 101, addAlias},
		{"alias list", "", "list the aliases", 0, 0, listAliases},
		{"alias remove", "ADDRESS", "remove an alias", 1, 1, simply("alias.remove")},
		{"domain add", "DOMAIN", "take mail for a domain", 1, 1, simply("domain.add")},
		{"domain list", "", "list the domains that mail is taken for", 0, 0, listDomains},
		{"domain remove", "DOMAIN", "take no more mail for a domain", 1, 1, removeDomain},
		{"mailbox list", "ADDRESS", "list an account's mailboxes", 1, 1, listMailboxes},
		{"status", "", "tell whether all is well", 0, 0, status},
		{"check store", "", "verify everything that is stored", 0, 0, checkStore},
		{"maintain", "", "give back the space of removed mail now, instead of in the night", 0, 0, maintain},
	}
}

// settings reads the config file and lets the flags win over it.
func (in *invocation) settings() (config.Config, error) {
	c, err := config.Load(in.global.config)
	if err != nil {
		return c, err
	}
	if in.global.data != "" {
		err = c.UseData(in.global.data, "-data")
	}
	return c, err
}

// ask runs an operation in the server that runs, or on the store if none does.
func (in *invocation) ask(ctx context.Context, name string, request, answer any) error {
	c, err := in.settings()
	if err != nil {
		return err
	}
	client, err := admin.Dial(c.Data)
	if err == nil {
		return client.Do(ctx, name, request, answer)
	}
	if !errors.Is(err, admin.ErrNotRunning) && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%s: %w", c.Data, err)
	}
	s, err := store.Open(c.Data, store.Options{Log: quietLog(in.stderr), Reserve: int64(c.Store.Reserve)})
	if errors.Is(err, store.ErrLocked) {
		return fmt.Errorf("%w, and its control socket does not answer", err)
	}
	if err != nil {
		return err
	}
	h := &house{config: c, log: quietLog(in.stderr), store: s}
	if err := h.useStored(); err != nil {
		return errors.Join(err, s.Close())
	}
	if err := h.openOutside(); err != nil {
		return errors.Join(err, s.Close())
	}
	h.alerts = newAlerts(h) // which nobody tells
	w := h.real(world{})
	h.buildOutside(w)
	if h.line, err = h.newLine(w); err != nil {
		return errors.Join(err, s.Close())
	}
	h.address = h.newAddressWatch(h.addressOptions(h.line))
	err = local(ctx, h.admin(), name, request, answer)
	if in.reader = cmp.Or(in.reader, in.asked()); in.reader == "" {
		in.reader = h.admin().Language() // while it is open
	}
	return errors.Join(err, h.events.Close(), s.Close())
}

func local(ctx context.Context, h *admin.House, name string, request, answer any) error {
	b, err := json.Marshal(request)
	if err != nil {
		return err
	}
	result, err := h.Do(ctx, name, b)
	if err != nil {
		return err
	}
	if b, err = json.Marshal(result); err != nil {
		return err
	}
	return json.Unmarshal(b, answer)
}

// quietLog shows only what an owner has to know at the command line.
func quietLog(w io.Writer) *slog.Logger {
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: slog.LevelWarn}))
}

// print writes JSON.
func (in *invocation) print(v any) error {
	e := json.NewEncoder(in.stdout)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// table writes rows under a head.
func (in *invocation) table(head string, rows [][]string) error {
	first := strings.Fields(head)
	for i, name := range first {
		first[i] = in.say("head." + strings.ToLower(name))
	}
	rows = append([][]string{first}, rows...)
	widths := make([]int, len(first))
	for _, r := range rows {
		for i, cell := range r[:min(len(r), len(first))] {
			widths[i] = max(widths[i], columns(cell))
		}
	}
	var b strings.Builder
	for _, r := range rows {
		for i, cell := range r {
			if i+1 < len(r) {
				cell = pad(cell, widths[i]+2)
			}
			b.WriteString(cell)
		}
		b.WriteByte('\n')
	}
	_, err := io.WriteString(in.stdout, b.String())
	return err
}

// tellPassword shows once how to sign in.
func (in *invocation) tellPassword(address mail.Path, password string) {
	name, secret := in.say("sign-in-as"), in.say("password")
	width := max(columns(name), columns(secret)) + 2
	fmt.Fprintf(in.stdout, "%s%s\n%s%s\n\n", pad(name, width), address, pad(secret, width), password)
}

type action = func(context.Context, []string) error

// simply is for operations that take an address and answer nothing.
func simply(name string) func(*invocation, *flag.FlagSet) action {
	return func(in *invocation, _ *flag.FlagSet) action {
		return func(ctx context.Context, args []string) error {
			return in.ask(ctx, name, admin.Address{Address: mail.Path(args[0])}, &admin.Empty{})
		}
	}
}

func addAccount(in *invocation, f *flag.FlagSet) action {
	name := f.String("name", "", "the person's `NAME`")
	lang := f.String("language", "", "what the person is told in: en or ja")
	quota := f.String("quota", "0", "how much mail the account may keep: `SIZE` such as 5GB; 0 is no limit")
	return func(ctx context.Context, args []string) error {
		size, err := config.ParseSize(*quota)
		if err != nil {
			return err
		}
		var a admin.Account
		if err := in.ask(ctx, "account.add", admin.AddAccount{Address: mail.Path(args[0]), Name: *name, Language: *lang, Quota: int64(size)}, &a); err != nil {
			return err
		}
		if in.global.json {
			return in.print(a)
		}
		in.line("account.made", "address", a.Address, "again", a.Address)
		return nil
	}
}

func listAccounts(in *invocation, _ *flag.FlagSet) action {
	return func(ctx context.Context, _ []string) error {
		var list []admin.Account
		if err := in.ask(ctx, "account.list", admin.Empty{}, &list); err != nil {
			return err
		}
		if in.global.json {
			return in.print(list)
		}
		var rows [][]string
		for _, a := range list {
			state := "active"
			if a.Disabled {
				state = "disabled"
			}
			rows = append(rows, []string{string(a.Address), a.Name, state, strconv.FormatInt(a.Messages, 10),
				megabytes(a.Used), quotaText(a.Quota), strconv.Itoa(len(a.Devices)), forwardText(a)})
		}
		return in.table("ADDRESS NAME STATE MESSAGES USED QUOTA DEVICES FORWARDED-TO", rows)
	}
}

// forwardText tells where an account's mail goes.
func forwardText(a admin.Account) string {
	list := make([]string, len(a.Forward))
	for i, p := range a.Forward {
		list[i] = string(p)
	}
	text := strings.Join(list, ", ")
	if a.Only {
		text += " only"
	}
	return text
}

func megabytes(n int64) string { return fmt.Sprintf("%.1f MB", float64(n)/1e6) }

func quotaText(n int64) string {
	if n == 0 {
		return "-"
	}
	return megabytes(n)
}

func removeAccount(in *invocation, f *flag.FlagSet) action {
	yes := f.Bool("yes", false, "do not ask")
	return func(ctx context.Context, args []string) error {
		if !*yes {
			fmt.Fprintf(in.stderr, "%s ", in.say("account.removes", "address", args[0]))
			line, _ := bufio.NewReader(in.stdin).ReadString('\n')
			if strings.TrimSpace(line) != args[0] {
				return refuse("account.kept")
			}
		}
		return simply("account.remove")(in, f)(ctx, args)
	}
}

// change sends a change of an account and says nothing if all is well.
func (in *invocation) change(ctx context.Context, c admin.Change) error {
	var a admin.Account
	if err := in.ask(ctx, "account.change", c, &a); err != nil || !in.global.json {
		return err
	}
	return in.print(a)
}

func disableAccount(off bool) func(*invocation, *flag.FlagSet) action {
	return func(in *invocation, _ *flag.FlagSet) action {
		return func(ctx context.Context, args []string) error {
			return in.change(ctx, admin.Change{Address: mail.Path(args[0]), Disabled: &off})
		}
	}
}

func setQuota(in *invocation, _ *flag.FlagSet) action {
	return func(ctx context.Context, args []string) error {
		size, err := config.ParseSize(args[1])
		if err != nil {
			return err
		}
		n := int64(size)
		return in.change(ctx, admin.Change{Address: mail.Path(args[0]), Quota: &n})
	}
}

func setLanguage(in *invocation, _ *flag.FlagSet) action {
	return func(ctx context.Context, args []string) error {
		return in.change(ctx, admin.Change{Address: mail.Path(args[0]), Language: &args[1]})
	}
}

func setKeep(in *invocation, _ *flag.FlagSet) action {
	return func(ctx context.Context, args []string) error {
		days, err := strconv.Atoi(args[1])
		if err != nil {
			return refuse("no-days", "text", args[1])
		}
		return in.change(ctx, admin.Change{Address: mail.Path(args[0]), KeepDays: &days})
	}
}

func setPassword(in *invocation, _ *flag.FlagSet) action {
	return func(ctx context.Context, args []string) error {
		password, err := in.readPassword()
		if err != nil {
			return err
		}
		return in.change(ctx, admin.Change{Address: mail.Path(args[0]), Password: &password})
	}
}

// readPassword asks twice at a terminal, and reads a line elsewhere.
func (in *invocation) readPassword() (string, error) {
	f, ok := in.stdin.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		line, err := bufio.NewReader(in.stdin).ReadString('\n')
		if err == io.EOF {
			err = nil
		}
		return strings.TrimRight(line, "\r\n"), err
	}
	var typed [2]string
	for i, prompt := range []string{in.say("ask.new"), in.say("ask.again")} {
		fmt.Fprint(in.stderr, prompt, " ")
		b, err := term.ReadPassword(int(f.Fd()))
		fmt.Fprintln(in.stderr)
		if err != nil {
			return "", err
		}
		typed[i] = string(b)
	}
	if typed[0] != typed[1] {
		return "", refuse("passwords-differ")
	}
	return typed[0], nil
}

func addDevice(in *invocation, f *flag.FlagSet) action {
	rewrite := f.Bool("rewrite", false, "for a scanner or the like: make the account the author of what claims to be from somebody else, instead of refusing it")
	return func(ctx context.Context, args []string) error {
		q := admin.AddDevice{Address: mail.Path(args[0]), Name: args[1]}
		if *rewrite {
			q.From = store.RewriteFrom
		}
		var d admin.NewDevice
		if err := in.ask(ctx, "device.add", q, &d); err != nil {
			return err
		}
		if in.global.json {
			return in.print(d)
		}
		in.tellPassword(d.Address, d.Password)
		in.line("device.once", "device", args[1])
		return nil
	}
}

func listDevices(in *invocation, _ *flag.FlagSet) action {
	return func(ctx context.Context, args []string) error {
		var list []admin.Device
		if err := in.ask(ctx, "device.list", admin.Address{Address: mail.Path(args[0])}, &list); err != nil {
			return err
		}
		if in.global.json {
			return in.print(list)
		}
		var rows [][]string
		for _, d := range list {
			used := "never"
			if d.LastUse != nil {
				used = d.LastUse.Local().Format(time.DateTime) + " from " + d.LastFrom
			}
			rows = append(rows, []string{d.ID, d.Name, d.Created.Local().Format(time.DateOnly), used})
		}
		return in.table("ID NAME MADE LAST-USE", rows)
	}
}

func revokeDevice(in *invocation, _ *flag.FlagSet) action {
	return func(ctx context.Context, args []string) error {
		return in.ask(ctx, "device.revoke", admin.RevokeDevice{Address: mail.Path(args[0]), Device: args[1]}, &admin.Empty{})
	}
}

func addAlias(in *invocation, _ *flag.FlagSet) action {
	return func(ctx context.Context, args []string) error {
		a := admin.Alias{Address: mail.Path(args[0])}
		for _, to := range args[1:] {
			a.To = append(a.To, mail.Path(to))
		}
		return in.ask(ctx, "alias.add", a, &admin.Empty{})
	}
}

func listAliases(in *invocation, _ *flag.FlagSet) action {
	return func(ctx context.Context, _ []string) error {
		var list []admin.Alias
		if err := in.ask(ctx, "alias.list", admin.Empty{}, &list); err != nil {
			return err
		}
		if in.global.json {
			return in.print(list)
		}
		var rows [][]string
		for _, a := range list {
			to := make([]string, len(a.To))
			for i, p := range a.To {
				to[i] = string(p)
			}
			rows = append(rows, []string{string(a.Address), strings.Join(to, ", ")})
		}
		return in.table("ALIAS LEADS-TO", rows)
	}
}

func listDomains(in *invocation, _ *flag.FlagSet) action {
	return func(ctx context.Context, _ []string) error {
		var list []string
		if err := in.ask(ctx, "domain.list", admin.Empty{}, &list); err != nil {
			return err
		}
		if in.global.json {
			return in.print(list)
		}
		for _, d := range list {
			fmt.Fprintln(in.stdout, d)
		}
		return nil
	}
}

func listMailboxes(in *invocation, _ *flag.FlagSet) action {
	return func(ctx context.Context, args []string) error {
		var list []admin.Mailbox
		if err := in.ask(ctx, "mailbox.list", admin.Address{Address: mail.Path(args[0])}, &list); err != nil {
			return err
		}
		if in.global.json {
			return in.print(list)
		}
		var rows [][]string
		for _, m := range list {
			rows = append(rows, []string{m.Name, strings.TrimPrefix(string(m.Use), "\\"), strconv.Itoa(int(m.Messages)),
				strconv.Itoa(int(m.Unseen)), megabytes(m.Size)})
		}
		return in.table("MAILBOX FOR MESSAGES UNREAD SIZE", rows)
	}
}

func status(in *invocation, _ *flag.FlagSet) action {
	return func(ctx context.Context, _ []string) error {
		var s admin.Status
		if err := in.ask(ctx, "status", admin.Empty{}, &s); err != nil {
			return err
		}
		if in.global.json {
			return in.print(s)
		}
		if s.Running {
			in.line("status.runs", "version", s.Version, "since", s.Started.Local().Format(time.DateTime))
		} else {
			in.line("status.stopped")
		}
		in.line("status.counts", "accounts", s.Accounts, "messages", s.Messages, "size", megabytes(s.Used), "domains", strings.Join(s.Domains, " "))
		in.line("status.disk", "free", megabytes(s.Disk.Free), "reserve", megabytes(s.Disk.Reserve))
		if s.Waiting > 0 {
			in.line("status.waiting", "n", s.Waiting)
		}
		for _, n := range s.Told {
			fmt.Fprintln(in.stdout, n.In(in.lang()))
		}
		switch {
		case !s.Healthy:
			return &words.Reason{Text: s.Wrong}
		case len(s.Notes) == 0:
			in.line("status.well")
		default:
			in.line("status.kept")
		}
		return nil
	}
}

func checkStore(in *invocation, f *flag.FlagSet) action {
	bodies := f.Bool("bodies", false, "read every message too and compare its hash")
	repair := f.Bool("repair", false, "mend what can be mended, and say what was done")
	return func(ctx context.Context, _ []string) error {
		var r store.Report
		if err := in.ask(ctx, "check", admin.Check{Bodies: *bodies, Repair: *repair}, &r); err != nil {
			return err
		}
		if in.global.json {
			if err := in.print(r); err != nil {
				return err
			}
		} else {
			for _, f := range r.Findings {
				fmt.Fprintln(in.stdout, f.What)
				if f.Done != "" {
					fmt.Fprintln(in.stdout, "    "+f.Done)
				}
			}
			in.line("check.counts", "accounts", r.Accounts, "mailboxes", r.Mailboxes, "messages", r.Messages, "bodies", r.Blobs, "size", megabytes(r.Bytes), "findings", len(r.Findings))
		}
		if n := unmended(r); n > 0 {
			return refuse("check.wrong", "n", n)
		}
		return nil
	}
}

// unmended counts the findings that are still so.
func unmended(r store.Report) (n int) {
	for _, f := range r.Findings {
		if f.Done == "" || strings.HasPrefix(f.Done, "not ") {
			n++
		}
	}
	return n
}

func maintain(in *invocation, _ *flag.FlagSet) action {
	return func(ctx context.Context, _ []string) error {
		return in.ask(ctx, "maintain", admin.Empty{}, &admin.Empty{})
	}
}
