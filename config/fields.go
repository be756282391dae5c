package config

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// A field ties a setting's name in the file to its place in a Config.
type field struct {
	name  string
	to    any // *string, *int, *bool, *Size, *Duration, *Schedule or *[]string
	check func() error
}

// fields is the one list of all settings, in the order of the example file.
func (c *Config) fields() []field {
	l, n := &c.Listen, &c.Connections
	fs := []field{
		text("host_name", &c.HostName, optional(checkHost)),
		text("data", &c.Data, checkPath),
		text("separator", &c.Separator, checkSeparator),
	}
	for _, d := range c.doors() {
		fs = append(fs, field{"listen." + d.name, d.to, func() error { return checkAddresses(*d.to) }})
	}
	return append(fs,
		field{"listen.lan_only", &l.LANOnly, func() error { return checkDoors(l.LANOnly, c.doors()) }},
		text("tls.cert", &c.TLS.Cert, optional(checkPath)),
		text("tls.key", &c.TLS.Key, optional(checkPath)),
		text("acme.directory", &c.ACME.Directory, optional(checkURL)),
		text("acme.roots", &c.ACME.Roots, optional(checkPath)),
		// RFC 5321 §4.5.3.1.7 asks for 64K at least; a part is never held whole, but 1 GiB of mail is a mistake.
		size("limits.message_size", &c.Limits.MessageSize, 64*KiB, GiB),
		number("limits.recipients", &c.Limits.Recipients, 1, 10000),
		number("limits.unknown_recipients_per_hour", &c.Limits.UnknownRecipientsPerHour, 1, 1e6),
		number("limits.submissions_per_hour", &c.Limits.SubmissionsPerHour, 1, 1e6),
		number("limits.submissions_per_day", &c.Limits.SubmissionsPerDay, 1, 1e7),
		number("limits.new_recipients_per_day", &c.Limits.NewRecipientsPerDay, 1, 1e7),
		number("connections.smtp", &n.SMTP, 1, 1e5),
		number("connections.smtp_per_ip", &n.SMTPPerIP, 1, 1e5),
		number("connections.imap", &n.IMAP, 1, 1e5),
		number("connections.imap_per_ip", &n.IMAPPerIP, 1, 1e5),
		number("connections.pop3", &n.POP3, 1, 1e5),
		number("connections.pop3_per_ip", &n.POP3PerIP, 1, 1e5),
		number("connections.web", &n.Web, 1, 1e5),
		number("connections.web_per_ip", &n.WebPerIP, 1, 1e5),
		number("connections.new_per_second", &n.NewPerSecond, 1, 1e6),
		number("connections.new_at_once", &n.NewAtOnce, 1, 1e6),
		text("dns.server", &c.DNS.Server, optional(checkServer)),
		field{"dns.trust", &c.DNS.Trust, func() error { return nil }},
		field{"check.watch", &c.Check.Watch, func() error { return nil }},
		field{"probe.urls", &c.Probe.URLs, func() error { return checkURLs(c.Probe.URLs) }},
		field{"probe.offer", &c.Probe.Offer, func() error { return nil }},
		text("lan.name", &c.LAN.Name, optional(checkLabel)),
		field{"lan.router", &c.LAN.Router, func() error { return nil }},
		field{"web.outside", &c.Web.Outside, func() error { return checkWords(c.Web.Outside, "me", "admin", "api") }},
		names("inbound.trusted_forwarders", &c.Inbound.TrustedForwarders),
		names("inbound.mailing_lists", &c.Inbound.MailingLists),
		field{"queue.retry", &c.Queue.Retry, func() error { return checkSchedule(c.Queue.Retry) }},
		span("queue.give_up", &c.Queue.GiveUp, hour, 30*24*hour),
		span("queue.notice", &c.Queue.Notice, 10*minute, 30*24*hour),
		number("queue.concurrency", &c.Queue.Concurrency, 1, 1000),
		number("queue.per_hop", &c.Queue.PerHop, 1, 100),
		field{"queue.private_networks", &c.Queue.PrivateNetworks, func() error { _, err := c.Queue.Networks(); return err }},
		size("store.reserve", &c.Store.Reserve, 0, maxSize),
		number("store.maintenance_hour", &c.Store.MaintenanceHour, 0, 23),
		text("log.level", &c.Log.Level, oneOf("debug", "info", "warn", "error")),
		text("log.format", &c.Log.Format, oneOf("text", "json")),
	)
}

// A door is a list of addresses and its name in the file.
type door struct {
	name string
	to   *[]string
}

func (c *Config) doors() []door {
	l := &c.Listen
	return []door{
		{"smtp", &l.SMTP}, {"submission", &l.Submission}, {"submissions", &l.Submissions},
		{"imap", &l.IMAP}, {"imaps", &l.IMAPS}, {"pop3", &l.POP3}, {"pop3s", &l.POP3S},
		{"http", &l.HTTP}, {"https", &l.HTTPS}, {"status", &l.Status},
	}
}

// Validate reports every value that cannot be used, each with its place and
// with what would be right.
func (c Config) Validate() error {
	var errs []error
	for _, f := range c.fields() {
		if err := f.check(); err != nil {
			errs = append(errs, c.at(f.name, err))
		}
	}
	return errors.Join(append(errs, c.validateTogether()...)...)
}

// validateTogether checks what depends on more than one setting.
func (c Config) validateTogether() (errs []error) {
	if (c.TLS.Cert == "") != (c.TLS.Key == "") {
		name := "tls.cert"
		if c.TLS.Cert == "" {
			name = "tls.key"
		}
		errs = append(errs, c.at(name, errors.New("a certificate and its key belong together; set both tls.cert and tls.key, or neither")))
	}
	if c.Limits.SubmissionsPerDay < c.Limits.SubmissionsPerHour {
		errs = append(errs, c.at("limits.submissions_per_day", errors.New("is less than limits.submissions_per_hour; right is the same or more")))
	}
	taken := map[string]string{}
	for _, d := range c.doors() {
		for _, a := range *d.to {
			if first := taken[a]; first != "" {
				errs = append(errs, c.at("listen."+d.name, fmt.Errorf("%q is taken by listen.%s already; right is a different address or port", a, first)))
			}
			if !strings.HasSuffix(a, ":0") { // any free port
				taken[a] = d.name
			}
		}
	}
	return errs
}

// at puts before an error where the setting was written.
func (c Config) at(name string, err error) error {
	if line, ok := c.lines[name]; ok {
		return fmt.Errorf("%s:%d: %s: %w", c.file, line, name, err)
	}
	if flag, ok := c.flags[name]; ok {
		return fmt.Errorf("%s: %w", flag, err)
	}
	return fmt.Errorf("%s: %w", name, err)
}

// set puts a value that the TOML decoder made into its place.
func (f field) set(v any) error {
	switch to := f.to.(type) {
	case *string:
		s, ok := v.(string)
		if !ok {
			return fmt.Errorf("is %s; right is text in quotes: \"...\"", kind(v))
		}
		*to = s
	case *int:
		n, ok := v.(int64)
		if !ok || int64(int(n)) != n {
			return fmt.Errorf("is %s; right is a whole number without quotes", kind(v))
		}
		*to = int(n)
	case *Size:
		return setSize(to, v)
	case *bool:
		b, ok := v.(bool)
		if !ok {
			return fmt.Errorf("is %s; right is true or false, without quotes", kind(v))
		}
		*to = b
	case *Duration:
		s, ok := v.(string)
		if !ok {
			return fmt.Errorf(`is %s; right is a time in quotes: "5m"`, kind(v))
		}
		d, err := ParseDuration(s)
		*to = d
		return err
	case *Schedule:
		var list []string
		if err := setList(&list, v); err != nil {
			return err
		}
		*to = nil
		for _, s := range list {
			d, err := ParseDuration(s)
			if err != nil {
				return err
			}
			*to = append(*to, d)
		}
	case *[]string:
		return setList(to, v)
	}
	return nil
}

func setSize(to *Size, v any) (err error) {
	switch v := v.(type) {
	case string:
		*to, err = ParseSize(v)
	case int64:
		*to = Size(v)
	default:
		err = fmt.Errorf(`is %s; right is a size in quotes: "50 MiB"`, kind(v))
	}
	return err
}

func setList(to *[]string, v any) error {
	in, ok := v.([]any)
	if !ok {
		return fmt.Errorf(`is %s; right is a list in brackets, each in quotes: ["...", "..."]`, kind(v))
	}
	list := make([]string, len(in))
	for i, e := range in {
		if list[i], ok = e.(string); !ok {
			return fmt.Errorf("has %s in its list; right is text in quotes", kind(e))
		}
	}
	*to = list
	return nil
}

// kind names a decoded value's type in an owner's words.
func kind(v any) string {
	switch v.(type) {
	case string:
		return "text"
	case int64, float64:
		return "a number"
	case bool:
		return "true or false"
	case []any:
		return "a list"
	case map[string]any, []map[string]any:
		return "a section"
	}
	return "a date"
}

// literal writes a value as the file would have it.
func literal(v any) string {
	switch v := v.(type) {
	case *string:
		return strconv.Quote(*v)
	case *Size:
		return strconv.Quote(v.String())
	case *Duration:
		return strconv.Quote(v.String())
	case *bool:
		return strconv.FormatBool(*v)
	case *Schedule:
		list := make([]string, len(*v))
		for i, d := range *v {
			list[i] = d.String()
		}
		return literal(&list)
	case *[]string:
		quoted := make([]string, len(*v))
		for i, s := range *v {
			quoted[i] = strconv.Quote(s)
		}
		return "[" + strings.Join(quoted, ", ") + "]"
	case *int:
		return strconv.Itoa(*v)
	}
	return ""
}

func text(name string, to *string, check func(string) error) field {
	return field{name, to, func() error { return check(*to) }}
}

func number(name string, to *int, low, high int) field {
	return field{name, to, func() error {
		if *to < low || *to > high {
			return fmt.Errorf("is %d; right is a number from %d to %d", *to, low, high)
		}
		return nil
	}}
}

func size(name string, to *Size, low, high Size) field {
	return field{name, to, func() error {
		if *to < low || *to > high {
			return fmt.Errorf("is %v; right is a size from %v to %v", *to, low, high)
		}
		return nil
	}}
}

func span(name string, to *Duration, low, high Duration) field {
	return field{name, to, func() error {
		if *to < low || *to > high {
			return fmt.Errorf("is %v; right is a time from %v to %v", *to, low, high)
		}
		return nil
	}}
}

// names is a list of domains.
func names(name string, to *[]string) field {
	return field{name, to, func() error {
		for _, s := range *to {
			if err := checkHost(s); err != nil {
				return err
			}
		}
		return nil
	}}
}

// checkSchedule sees that a queue neither hammers at servers nor sleeps for
// days.
func checkSchedule(s Schedule) error {
	if len(s) == 0 || len(s) > 50 {
		return fmt.Errorf("has %d times; right are 1 to 50", len(s))
	}
	for _, d := range s {
		if d < Duration(time.Second) || d > 24*hour {
			return fmt.Errorf("has %v; right are times from 1s to 1d", d)
		}
	}
	return nil
}

func checkServer(s string) error {
	if _, err := netip.ParseAddr(s); err == nil {
		return nil
	}
	if _, err := netip.ParseAddrPort(s); err == nil {
		return nil
	}
	return fmt.Errorf(`is %q; right is an IP address, with a port if it is not 53: "192.168.1.1" or "127.0.0.1:5353"`, s)
}

// checkURL takes where a server is: a password or a token goes there, or what it
// says is believed.
func checkURL(s string) error {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || !printable(s) {
		return fmt.Errorf(`is %q; right is a URL that begins with https://`, s)
	}
	return nil
}

func checkURLs(list []string) error {
	for _, s := range list {
		if err := checkURL(s); err != nil {
			return err
		}
	}
	return nil
}

func checkWords(list []string, words ...string) error {
	for _, s := range list {
		if err := oneOf(words...)(s); err != nil {
			return err
		}
	}
	return nil
}

// checkLabel takes one label of a host name.
func checkLabel(s string) error {
	if strings.Contains(s, ".") || checkHost(s) != nil {
		return fmt.Errorf(`is %q; right is one word of letters, digits and hyphens, such as "homemail"`, s)
	}
	return nil
}

// Networks are PrivateNetworks, understood.
func (q Queue) Networks() ([]netip.Prefix, error) {
	var list []netip.Prefix
	for _, s := range q.PrivateNetworks {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			return nil, fmt.Errorf(`%q is not a network; right would be "192.168.1.0/24"`, s)
		}
		list = append(list, p.Masked())
	}
	return list, nil
}

func optional(check func(string) error) func(string) error {
	return func(s string) error {
		if s == "" {
			return nil
		}
		return check(s)
	}
}

func oneOf(words ...string) func(string) error {
	return func(s string) error {
		if !slices.Contains(words, s) {
			return fmt.Errorf("is %q; right is one of %s", s, strings.Join(words, ", "))
		}
		return nil
	}
}

// checkHost takes a name of letters, digits and hyphens, RFC 1123 §2.1.
func checkHost(s string) error {
	wrong := fmt.Errorf(`%q is not a host name; right would be "mail.example.org"`, s)
	if len(s) > 253 {
		return wrong
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return wrong
		}
		for _, r := range label {
			if r != '-' && (r > unicode.MaxASCII || !unicode.IsLetter(r) && !unicode.IsDigit(r)) {
				return wrong
			}
		}
	}
	return nil
}

func checkPath(s string) error {
	if !filepath.IsAbs(s) || !printable(s) {
		return fmt.Errorf("is %q; right is a whole path that begins with /", s)
	}
	return nil
}

// checkSeparator takes one character that RFC 5321 §4.1.2 allows in a name and
// that people do not have in theirs. Empty turns plus addressing off.
func checkSeparator(s string) error {
	if len(s) > 1 || !strings.Contains("+=-_#", s) {
		return fmt.Errorf(`is %q; right is one of + = - _ #, or "" for none`, s)
	}
	return nil
}

func checkAddresses(addrs []string) error {
	for _, a := range addrs {
		host, port, err := net.SplitHostPort(a)
		if n, bad := strconv.ParseUint(port, 10, 16); err != nil || bad != nil || strconv.FormatUint(n, 10) != port {
			return fmt.Errorf(`%q is not an address to listen on; right would be ":993", "192.168.1.2:993" or "[::1]:993"`, a)
		}
		if _, err := netip.ParseAddr(host); err != nil && host != "" && checkHost(host) != nil || !printable(host) {
			return fmt.Errorf("%q: %q is neither an IP address nor a host name", a, host)
		}
	}
	return nil
}

func checkDoors(names []string, doors []door) error {
	for _, name := range names {
		if !slices.ContainsFunc(doors, func(d door) bool { return d.name == name }) {
			return fmt.Errorf("there is no door %q; right are smtp, submission, submissions, imap, imaps, pop3, pop3s, http, https, status", name)
		}
	}
	return nil
}

func printable(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) })
}
