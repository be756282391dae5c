package reports

import (
	"encoding/base64"
	"io"
	"mime/quotedprintable"
	"slices"
	"strings"

	"homemail/mail/message"
	"homemail/store"
)

const (
	maxLooked = 64 // parts of a message that are looked at
	maxOf     = 4  // reports in a message
)

// packing are types that reports are attached as: by the RFCs the first four
// (RFC 7489 §7.2.1.1, RFC 8460 §5.4), by custom the others.
var packing = []string{
	"application/gzip", "text/xml", "application/tlsrpt+gzip", "application/tlsrpt+json",
	"application/x-gzip", "application/zip", "application/x-zip", "application/x-zip-compressed", "application/xml",
	"application/json", "application/octet-stream",
}

// find returns the parts of a message that may be reports, by how it is built
// alone. What comes to the address that reports are asked for at may have any
// name; elsewhere it must be named as reports are: an invoice in XML is not our
// business.
func find(s *message.Structure, asked bool) (list []*message.Part) {
	looked := 0
	var walk func(p *message.Part, tls bool)
	walk = func(p *message.Part, tls bool) {
		if looked++; looked > maxLooked || len(list) >= maxOf {
			return
		}
		if p.IsMultipart() {
			tls = tls || p.Subtype == "report" && strings.EqualFold(p.Param("report-type"), "tlsrpt")
			for i := range p.Children {
				walk(&p.Children[i], tls)
			}
			return
		}
		if isReport(p, asked || tls) {
			list = append(list, p)
		}
	}
	walk(&s.Root, false)
	return list
}

func isReport(p *message.Part, asked bool) bool {
	kind, name := p.Type+"/"+p.Subtype, strings.ToLower(p.Filename())
	if !slices.Contains(packing, kind) || p.Size() > 2*maxPacked {
		return false
	}
	if p.Type == "application" && strings.HasPrefix(p.Subtype, "tlsrpt+") {
		return true
	}
	if name == "" {
		return asked && kind != "application/octet-stream"
	}
	ends := slices.ContainsFunc([]string{".xml", ".gz", ".zip", ".json"}, func(e string) bool { return strings.HasSuffix(name, e) })
	// receiver "!" domain "!" begin "!" end, RFC 7489 §7.2.1.1 and RFC 8460 §5.1.
	return ends && (asked || strings.Count(name, "!") >= 3)
}

// content reads a part of a message, decoded: at most one byte more than a
// report may have. Prefix is the length of what stands before the blob.
func content(b *store.Body, prefix int64, p *message.Part) ([]byte, error) {
	var r io.Reader = io.NewSectionReader(b, prefix+p.BodyAt, p.Size())
	switch p.Encoding {
	case "base64":
		r = base64.NewDecoder(base64.StdEncoding, r)
	case "quoted-printable":
		r = quotedprintable.NewReader(r)
	}
	return io.ReadAll(io.LimitReader(r, maxPacked+1))
}
