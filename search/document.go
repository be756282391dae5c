package search

import (
	"bytes"
	"errors"
	"strings"

	"homemail/mail/message"
	"homemail/mail/text"
	"homemail/store"
)

// headerMax bounds the header that is read, as in package message.
const headerMax = 256 << 10

// A field is a header field: its name in lower case, and what a person reads.
type field struct {
	name   string
	value  []byte
	prefix bool // it is one of those that homemail put before the message
}

// line is the field as TEXT sees it.
func (f *field) line() []byte { return append([]byte(f.name+": "), f.value...) }

// addressFields are searched as the envelope has them, RFC 9051 §6.4.4 FROM.
func addressFields(e *message.Envelope) [6]struct {
	name string
	list []message.Address
} {
	return [...]struct {
		name string
		list []message.Address
	}{{"from", e.From}, {"sender", e.Sender}, {"reply-to", e.ReplyTo}, {"to", e.To}, {"cc", e.Cc}, {"bcc", e.Bcc}}
}

// readHeader reads the fields of a message's header. Addresses are as the
// envelope has them: the name decoded and without quotes, then the address.
func readHeader(st *message.Structure, m *store.Message, r *store.Body) (fields []field, err error) {
	b := make([]byte, min(int64(len(m.Prefix))+st.Root.BodyAt, headerMax))
	n, err := r.ReadAt(b, 0)
	if err != nil && n < len(b) {
		return nil, err
	}
	return fieldsOf(b, &st.Envelope, len(m.Prefix))
}

// fieldsOf reads the fields of a header, of which some bytes are the prefix.
func fieldsOf(b []byte, env *message.Envelope, prefix int) (fields []field, err error) {
	ours := 0 // fields of the prefix
	for range message.Fields(b[:min(prefix, len(b))]) {
		ours++
	}
	lists := addressFields(env)
	told := map[string]bool{}
	n := 0
	err = text.Header(b, func(name, value string) error {
		n++
		name = strings.ToLower(name)
		for _, l := range lists {
			if l.name != name || n <= ours {
				continue
			}
			if told[name] { // all fields of the name are in the list
				return nil
			}
			told[name] = true
			if addresses := readable(l.list); addresses != "" {
				value = addresses
			}
		}
		fields = append(fields, field{name, text.Fold(nil, []byte(value)), n <= ours})
		return nil
	})
	return fields, err
}

// readable writes addresses as people know them.
func readable(list []message.Address) string {
	var b strings.Builder
	for _, a := range list {
		switch {
		case a.Host == "" && a.Mailbox == "":
			continue
		case b.Len() > 0:
			b.WriteString(", ")
		}
		if a.Host == "" {
			b.WriteString(text.Words(a.Mailbox) + ":")
			continue
		}
		if a.Name != "" {
			b.WriteString(text.Words(a.Name) + " ")
		}
		b.WriteString("<" + a.Mailbox + "@" + a.Host + ">")
	}
	return b.String()
}

// readBody reads the folded texts of a message's body.
func readBody(st *message.Structure, m *store.Message, r *store.Body, fn func(folded []byte) error) error {
	var folded []byte
	return text.Body(st, r, int64(len(m.Prefix)), func(b []byte) error {
		folded = text.Fold(folded[:0], b)
		return fn(folded)
	})
}

// errFound ends the reading of a message that fits.
var errFound = errors.New("found")

// holds reports whether a message fits a key, by reading it.
func holds(a *store.Account, m *store.Message, k Key) (bool, error) {
	want := text.FoldString(k.Value)
	st, err := m.Structure()
	if err != nil {
		return false, err
	}
	r := a.Body(m)
	if k.Where != InBody {
		fields, err := readHeader(st, m, r)
		if err != nil {
			return false, err
		}
		for i := range fields {
			if fields[i].fits(k, want) {
				return true, nil
			}
		}
	}
	if k.Where == InHeader {
		return false, nil
	}
	if want == "" {
		return true, nil
	}
	err = readBody(st, m, r, func(folded []byte) error {
		if bytes.Contains(folded, []byte(want)) {
			return errFound
		}
		return nil
	})
	if errors.Is(err, errFound) {
		return true, nil
	}
	return false, err
}

// fits reports whether a field fits a key whose value folds to want.
func (f *field) fits(k Key, want string) bool {
	if k.Where == InHeader {
		return strings.EqualFold(f.name, k.Field) && bytes.Contains(f.value, []byte(want))
	}
	return bytes.Contains(f.line(), []byte(want))
}
