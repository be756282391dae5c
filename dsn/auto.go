package dsn

import (
	"slices"
	"strings"

	"homemail/mail"
	"homemail/mail/message"
)

// MayAutoReply reports whether a message may be answered by a machine, RFC 3834
// §2: it comes from a person and not from a list, a daemon or another machine.
// The header is that of the message, from its reverse-path. Whoever answers
// still has to answer each sender seldom, and only what was addressed to them.
func MayAutoReply(header []byte, from mail.Path) bool {
	if from.IsNull() || isRole(from.Local()) {
		return false
	}
	for name, value := range message.Fields(header) {
		if isAutomatic(strings.ToLower(name), strings.ToLower(strings.TrimSpace(string(value)))) {
			return false
		}
	}
	return true
}

// isRole reports whether a local part is that of no person.
func isRole(local string) bool {
	local = strings.ToLower(strings.Trim(local, `"`))
	for _, prefix := range []string{"owner-", "bounce-", "bounces-", "bounce+", "bounces+", "mailer-daemon", "srs0=", "srs1=", "prvs="} {
		if strings.HasPrefix(local, prefix) {
			return true
		}
	}
	for _, suffix := range []string{"-request", "-owner", "-bounce", "-bounces", "-relay", "-admin"} {
		if strings.HasSuffix(local, suffix) {
			return true
		}
	}
	bare := strings.NewReplacer("-", "", "_", "", ".", "").Replace(local)
	return slices.Contains([]string{"listserv", "listproc", "majordomo", "noreply", "donotreply", "bounce", "bounces", "daemon"}, bare)
}

// isAutomatic reports whether a field, in lower case, is that of a machine.
func isAutomatic(name, value string) bool {
	first := value
	if i := strings.IndexAny(value, " \t\r\n;("); i >= 0 {
		first = value[:i]
	}
	switch name {
	case "auto-submitted": // RFC 3834 §5
		return first != "no"
	case "precedence":
		return first == "bulk" || first == "junk" || first == "list"
	case "content-type":
		return first == "multipart/report" // also of those who forget Auto-Submitted
	case "x-auto-response-suppress": // Exchange
		return strings.Contains(value, "all") || strings.Contains(value, "oof") || strings.Contains(value, "autoreply")
	case "x-spam-flag":
		return first == "yes"
	case "return-path": // of a message that was filed before
		return first == "<>"
	}
	return strings.HasPrefix(name, "list-") // RFC 2369, RFC 2919
}
