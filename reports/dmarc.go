package reports

import (
	"encoding/xml"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/idna"
	"golang.org/x/text/encoding/charmap"
)

const (
	maxRows    = 10000     // of a report; a home has some tens
	maxDepth   = 32        // of elements; the schema has 5
	maxTokens  = 1 << 20   // pieces of XML: a row has about a hundred
	maxToken   = 128 << 10 // bytes of one piece of XML
	maxText    = 256       // bytes of a value that are kept
	maxDomains = 8         // of a row that are kept
	maxCount   = 1 << 40   // of messages in a row; sums stay in an int64
)

// DMARC is an aggregate report, RFC 7489 appendix C.
type DMARC struct {
	Org, Email, ID string
	Begin, End     time.Time
	Domain         string // A-labels, whose policy it is about
	Policy         string // as the reporter saw it
	Rows           []Row
	Left           int // rows beyond the bound
}

// Row is what one source sent, as far as it looked alike.
type Row struct {
	Source      netip.Addr
	Count       int64
	Disposition string // none, quarantine or reject
	DKIM, SPF   bool   // passed, and in line with From
	Reasons     []string
	From        string   // domain of From
	Passed      []string // domains that SPF or DKIM passed for, in line or not
	Unsealed    []string // domains whose DKIM signature did not hold
}

// Pass reports whether the row's mail passed DMARC.
func (r Row) Pass() bool { return r.DKIM || r.SPF }

// parseDMARC reads the XML piece by piece. Elements are known by their name and
// by the nearest one around them that is known: namespaces differ, some
// reporters wrap everything into a stray schema element, and others leave tags
// open.
func parseDMARC(r io.Reader) (*DMARC, error) {
	t := &tokenReader{r: r}
	d := xml.NewDecoder(t)
	d.Strict = false // a bare & in a company's name is common
	d.CharsetReader = charset
	p := dmarcParser{judge: map[string]string{}}
	for n := 0; ; n++ {
		if n > maxTokens {
			return nil, fmt.Errorf("%w: over %d pieces", ErrTooBig, maxTokens)
		}
		t.left = maxToken
		tok, err := d.RawToken()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, noReport(err)
		}
		switch tok := tok.(type) {
		case xml.StartElement:
			err = p.start(tok.Name.Local)
		case xml.EndElement:
			p.end(tok.Name.Local)
		case xml.CharData:
			p.text = appendText(p.text, tok)
		}
		if err != nil {
			return nil, err
		}
	}
	return p.report()
}

// tokenReader gives no more than so many bytes to one token: the decoder keeps
// all of it.
type tokenReader struct {
	r    io.Reader
	left int
}

func (t *tokenReader) Read(p []byte) (int, error) {
	if t.left <= 0 {
		return 0, fmt.Errorf("%w: one piece has over %d bytes", ErrTooBig, maxToken)
	}
	n, err := t.r.Read(p[:min(len(p), t.left)])
	t.left -= n
	return n, err
}

// charset reads the encodings that reporters declare beside UTF-8.
func charset(name string, r io.Reader) (io.Reader, error) {
	switch strings.ToLower(name) {
	case "us-ascii", "ascii", "iso-8859-1", "latin1", "windows-1252":
		return charmap.Windows1252.NewDecoder().Reader(r), nil
	}
	return nil, fmt.Errorf("%w: encoding %.40q", ErrNoReport, name)
}

func appendText(b, more []byte) []byte {
	return append(b, more[:min(len(more), maxText-min(len(b), maxText))]...)
}

// containers are the elements that have elements.
var containers = []string{
	"feedback", "report_metadata", "date_range", "policy_published", "record", "row",
	"policy_evaluated", "reason", "identifiers", "auth_results", "dkim", "spf",
}

// A dmarcParser is at some element of a report.
type dmarcParser struct {
	d     DMARC
	row   Row
	seen  bool     // there was a feedback element
	at    []string // names of the elements that are open
	text  []byte
	check authResult
	judge map[string]string // of policy_evaluated
}

type authResult struct{ domain, result string }

func (p *dmarcParser) start(name string) error {
	if len(p.at) >= maxDepth {
		return fmt.Errorf("%w: %d elements in each other", ErrNoReport, maxDepth)
	}
	name = strings.ToLower(name)
	p.at = append(p.at, name)
	p.text = p.text[:0]
	switch name {
	case "feedback":
		p.seen = true
	case "record":
		p.row = Row{}
		p.judge = map[string]string{}
	case "dkim", "spf":
		p.check = authResult{}
	}
	return nil
}

// end closes the innermost element of a name, and what was left open in it.
func (p *dmarcParser) end(name string) {
	name = strings.ToLower(name)
	i := len(p.at) - 1
	for i >= 0 && p.at[i] != name {
		i--
	}
	if i < 0 {
		return
	}
	p.at = p.at[:i]
	p.value(p.parent(), name, clean(string(p.text)))
	p.text = p.text[:0]
}

// parent is the nearest element around that is known.
func (p *dmarcParser) parent() string {
	for i := len(p.at) - 1; i >= 0; i-- {
		if slices.Contains(containers, p.at[i]) {
			return p.at[i]
		}
	}
	return ""
}

// value takes an element that has ended.
func (p *dmarcParser) value(parent, name, v string) {
	switch parent + " " + name {
	case "report_metadata org_name":
		p.d.Org = v
	case "report_metadata email":
		p.d.Email = v
	case "report_metadata report_id":
		p.d.ID = v
	case "date_range begin":
		p.d.Begin = moment(v)
	case "date_range end":
		p.d.End = moment(v)
	case "policy_published domain":
		p.d.Domain = domain(v)
	case "policy_published p":
		p.d.Policy = strings.ToLower(v)
	case "row source_ip":
		if a, err := netip.ParseAddr(strings.Trim(v, "[]")); err == nil {
			p.row.Source = a.Unmap().WithZone("")
		}
	case "row count":
		n, _ := strconv.ParseInt(v, 10, 64)
		p.row.Count = max(0, min(n, maxCount))
	case "policy_evaluated disposition":
		p.row.Disposition = strings.ToLower(v)
	case "policy_evaluated dkim", "policy_evaluated spf":
		p.judge[name] = strings.ToLower(v)
	case "reason type":
		p.row.Reasons = add(p.row.Reasons, strings.ToLower(v))
	case "identifiers header_from":
		p.row.From = domain(v)
	case "dkim domain", "spf domain":
		p.check.domain = domain(v)
	case "dkim result", "spf result":
		p.check.result = strings.ToLower(v)
	case "auth_results dkim", "auth_results spf":
		p.authentic(name)
	}
	if name == "record" { // wherever it is
		p.record()
	}
}

func (p *dmarcParser) authentic(method string) {
	switch c := p.check; {
	case c.domain == "":
	case c.result == "pass":
		p.row.Passed = add(p.row.Passed, c.domain)
	case method == "dkim" && c.result != "none" && c.result != "temperror":
		p.row.Unsealed = add(p.row.Unsealed, c.domain)
	}
}

// record ends a row. One that says nothing about who passed is none.
func (p *dmarcParser) record() {
	if p.row.Count == 0 || !p.row.Source.IsValid() || len(p.judge) == 0 {
		return
	}
	if len(p.d.Rows) >= maxRows {
		p.d.Left++
		return
	}
	p.row.DKIM, p.row.SPF = p.judge["dkim"] == "pass", p.judge["spf"] == "pass"
	p.d.Rows = append(p.d.Rows, p.row)
	p.row, p.judge = Row{}, map[string]string{}
}

func (p *dmarcParser) report() (*DMARC, error) {
	d := &p.d
	switch {
	case !p.seen:
		return nil, fmt.Errorf("%w: it has no feedback element", ErrNoReport)
	case d.Domain == "":
		return nil, fmt.Errorf("%w: it says no domain", ErrNoReport)
	}
	return d, badRange(d.Begin, d.End)
}

// maxRange is the longest time that a report may be about: most are about a
// day, some about a week.
const maxRange = 8 * 24 * time.Hour

func badRange(begin, end time.Time) error {
	if begin.IsZero() || end.Before(begin) || end.Sub(begin) > maxRange {
		return fmt.Errorf("%w: it is about no time that could be", ErrNoReport)
	}
	return nil
}

// moment reads a time: seconds since 1970, or, as a few write it, RFC 3339.
func moment(s string) time.Time {
	whole, _, _ := strings.Cut(s, ".")
	n, err := strconv.ParseInt(whole, 10, 64)
	if err == nil && n > 0 && n < 1<<40 {
		return time.Unix(n, 0).UTC()
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05", time.DateTime} {
		if t, err := time.Parse(layout, s); err == nil && t.Unix() > 0 {
			return t.UTC()
		}
	}
	return time.Time{}
}

// domain brings a domain into the form that we compare, "" if it is none.
func domain(s string) string {
	s = strings.ToLower(strings.Trim(s, " \t\r\n."))
	a, err := idna.Lookup.ToASCII(s)
	if err != nil {
		a = s // an underscore, as in names of services
	}
	if len(a) > 253 || !isName(a) {
		return ""
	}
	return a
}

func isName(s string) bool {
	return s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-._") == ""
}

func add(list []string, s string) []string {
	if s == "" || len(list) >= maxDomains || slices.Contains(list, s) {
		return list
	}
	return append(list, s)
}

// clean is a value fit to be shown: one line of UTF-8 without control
// characters.
func clean(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || 0x80 <= r && r < 0xa0 || 0x202a <= r && r <= 0x202e || 0x2066 <= r && r <= 0x2069 {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	return strings.Join(strings.Fields(s), " ")
}
