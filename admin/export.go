package admin

import (
	"archive/zip"
	"bufio"
	"bytes"
	"compress/flate"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"homemail/mail"
	"homemail/store"
	"homemail/vacation"
)

// Exported is what settings.json of an export says.
type Exported struct {
	Address  mail.Path         `json:"address"`
	Name     string            `json:"name"`
	Language string            `json:"language"`
	Created  time.Time         `json:"created"`
	Exported time.Time         `json:"exported"`
	Aliases  []mail.Path       `json:"aliases"`
	Forward  []mail.Path       `json:"forward"`
	Only     bool              `json:"forward_only"`
	Vacation vacation.Reply    `json:"vacation"`
	Devices  []Device          `json:"devices"`
	Files    []ExportedMailbox `json:"mailboxes"`
}

// ExportedMailbox says where a mailbox is in an export.
type ExportedMailbox struct {
	Name     string          `json:"name"`
	File     string          `json:"file"`
	Use      mail.SpecialUse `json:"use,omitempty"`
	Messages int             `json:"messages"`
	// Missing are messages that were expunged meanwhile, or are damaged.
	Missing int `json:"missing,omitempty"`
}

// Export writes all mail and settings of the account as a zip file: a file in
// the mboxrd form for each mailbox, and settings.json. It holds one message's
// piece in memory at a time.
func (m *Me) Export(ctx context.Context, w io.Writer) error {
	return m.noted(ctx, "me.export", Empty{}, m.export(ctx, w))
}

func (m *Me) export(ctx context.Context, w io.Writer) error {
	mine, err := m.Show()
	if err != nil {
		return err
	}
	boxes, err := m.account.Mailboxes()
	if err != nil {
		return err
	}
	z := zip.NewWriter(w)
	z.RegisterCompressor(zip.Deflate, func(w io.Writer) (io.WriteCloser, error) { return flate.NewWriter(w, flate.BestSpeed) })
	out := Exported{
		Address: mine.Address, Name: mine.Name, Language: mine.Language, Created: mine.Created, Exported: time.Now(),
		Aliases: mine.Aliases, Forward: mine.Forward, Only: mine.Only, Vacation: mine.Vacation, Devices: mine.Devices,
	}
	names := fileNames{}
	for _, box := range boxes {
		file := ExportedMailbox{Name: box.Name, File: "mail/" + names.of(box.Name) + ".mbox", Use: box.Use}
		if err := m.exportMailbox(ctx, z, box, &file); err != nil {
			return fmt.Errorf("mailbox %q: %w", box.Name, err)
		}
		out.Files = append(out.Files, file)
	}
	f, err := z.CreateHeader(&zip.FileHeader{Name: "settings.json", Method: zip.Deflate, Modified: out.Exported})
	if err != nil {
		return err
	}
	e := json.NewEncoder(f)
	e.SetIndent("", "  ")
	if err := e.Encode(out); err != nil {
		return err
	}
	return z.Close()
}

const exportBatch = 500 // messages whose records are asked for at once

func (m *Me) exportMailbox(ctx context.Context, z *zip.Writer, box store.Mailbox, file *ExportedMailbox) error {
	f, err := z.CreateHeader(&zip.FileHeader{Name: file.File, Method: zip.Deflate, Modified: time.Now()})
	if err != nil {
		return err
	}
	entries, err := m.account.Entries(box.ID)
	if err != nil && !errors.Is(err, store.ErrCorrupt) {
		return err
	}
	buffer := bufio.NewWriter(f)
	for len(entries) > 0 {
		n := min(exportBatch, len(entries))
		for _, e := range entries[:n] {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := m.exportMessage(buffer, box.ID, e, file); err != nil {
				return err
			}
		}
		entries = entries[n:]
	}
	return buffer.Flush()
}

// exportMessage writes a message. One that cannot be read is counted: it is no
// reason to have none of the others.
func (m *Me) exportMessage(w *bufio.Writer, box mail.MailboxID, e store.Entry, file *ExportedMailbox) error {
	missing := func(err error) bool { return errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrCorrupt) }
	msg, err := m.account.Message(box, e.UID)
	if missing(err) {
		file.Missing++
		return nil
	}
	if err != nil {
		return err
	}
	body := bufio.NewReader(m.account.Body(msg))
	if _, err := body.Peek(1); missing(err) { // before a line says that there is a message
		file.Missing++
		return nil
	}
	file.Messages++
	err = writeMbox(w, returnPath(msg.Prefix), msg.Date, e.Flags, body)
	if missing(err) { // it went away while it was read
		file.Messages--
		file.Missing++
		_, err = w.WriteString("\n\n")
	}
	return err
}

// returnPath is the envelope's sender, as final delivery noted it.
func returnPath(prefix []byte) string {
	rest, ok := bytes.CutPrefix(prefix, []byte("Return-Path: <"))
	path, _, end := bytes.Cut(rest, []byte(">\r\n"))
	if !ok || !end || len(path) == 0 || len(path) > 320 {
		return "MAILER-DAEMON"
	}
	return strings.Map(func(r rune) rune {
		if r <= ' ' || r == 0x7f {
			return '_'
		}
		return r
	}, string(path))
}

// writeMbox writes a message in the mboxrd form: a line that begins with "From ",
// after any number of ">", gets one more, so that a reader can take it away again.
// Lines end in LF. What a person did to the message stands in the fields that
// mutt, Dovecot and others read.
func writeMbox(w *bufio.Writer, from string, date time.Time, flags mail.Flags, body io.ByteReader) error {
	fmt.Fprintf(w, "From %s %s\n", from, date.UTC().Format(time.ANSIC))
	status, more := "O", ""
	for _, f := range []struct {
		flag mail.Flags
		old  *string
		mark string
	}{{mail.Seen, &status, "R"}, {mail.Answered, &more, "A"}, {mail.Flagged, &more, "F"}, {mail.Draft, &more, "T"}, {mail.Deleted, &more, "D"}} {
		if flags.Has(f.flag) {
			*f.old = f.mark + *f.old
		}
	}
	fmt.Fprintf(w, "Status: %s\n", status)
	if more != "" {
		fmt.Fprintf(w, "X-Status: %s\n", more)
	}
	q := quoter{w: w, deciding: true}
	for {
		c, err := body.ReadByte()
		if err == io.EOF {
			return q.close()
		}
		if err != nil {
			return err
		}
		if err := q.next(c); err != nil {
			return err
		}
	}
}

// A quoter quotes the lines of one message. However many ">" a line begins with,
// it only counts them.
type quoter struct {
	w        *bufio.Writer
	cr       bool // the last octet was CR
	deciding bool // whether the line begins with "From "
	marks    int  // ">" that it began with
	matched  int  // octets of fromLine after them
}

const fromLine = "From "

func (q *quoter) next(c byte) error {
	if q.cr {
		q.cr = false
		if c != '\n' {
			q.octet('\r')
		}
	}
	if c == '\r' {
		q.cr = true
		return nil
	}
	return q.octet(c)
}

func (q *quoter) octet(c byte) (err error) {
	if q.deciding {
		switch {
		case q.matched == 0 && c == '>':
			q.marks++
			return nil
		case c == fromLine[q.matched]:
			if q.matched++; q.matched == len(fromLine) {
				q.marks++
				q.decided()
			}
			return nil
		}
		q.decided()
	}
	if err = q.w.WriteByte(c); c == '\n' {
		q.deciding, q.marks, q.matched = true, 0, 0
	}
	return err
}

// decided writes what was kept back.
func (q *quoter) decided() {
	for range q.marks {
		q.w.WriteByte('>')
	}
	q.w.WriteString(fromLine[:q.matched])
	q.deciding, q.marks, q.matched = false, 0, 0
}

// close ends the last line, and the message with an empty one.
func (q *quoter) close() error {
	if q.cr {
		q.octet('\r')
	}
	if q.deciding && q.marks+q.matched > 0 {
		q.decided()
	}
	if !q.deciding {
		q.w.WriteByte('\n')
	}
	return q.w.WriteByte('\n') // the first error of a bufio.Writer stays
}

// fileNames makes names of files from names of mailboxes: such as every system
// takes, each once, whatever it makes of case.
type fileNames map[string]bool

const fileNameMost = 100 // octets of one part

func (n fileNames) of(mailbox string) string {
	parts := strings.Split(mailbox, "/")
	for i := range parts {
		parts[i] = fileName(parts[i])
	}
	name := strings.Join(parts, "/")
	unique := name
	for i := 2; n[strings.ToLower(unique)]; i++ {
		unique = fmt.Sprintf("%s (%d)", name, i)
	}
	n[strings.ToLower(unique)] = true
	return unique
}

// fileName makes one part of a name safe: no way out of the directory, nothing
// that Windows reserves, nothing invisible.
func fileName(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case strings.ContainsRune(`<>:"/\|?*`, r), unicode.IsControl(r), r == utf8.RuneError, unicode.Is(unicode.Cf, r):
			return '_'
		}
		return r
	}, s)
	for len(s) > fileNameMost {
		_, n := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-n]
	}
	s = strings.Trim(s, " .")
	base, _, _ := strings.Cut(strings.ToUpper(s), ".")
	switch {
	case s == "":
		return "_"
	case base == "CON" || base == "PRN" || base == "AUX" || base == "NUL",
		len(base) == 4 && (strings.HasPrefix(base, "COM") || strings.HasPrefix(base, "LPT")):
		return "_" + s
	}
	return s
}
