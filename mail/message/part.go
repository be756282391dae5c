package message

// IsMultipart reports whether p is a multipart whose parts are known. One that
// is not has no meaning but its bytes; show it as text/plain.
func (p *Part) IsMultipart() bool { return p.Type == "multipart" && len(p.Children) > 0 }

// IsMessage reports whether p holds a message that was read: its Envelope and
// its root, Children[0], are there.
func (p *Part) IsMessage() bool {
	return p.Type == "message" && p.Envelope != nil && len(p.Children) == 1
}

// Size is the size of the body.
func (p *Part) Size() int64 { return p.End - p.BodyAt }

// Param returns a parameter of Content-Type by its name in lower case.
func (p *Part) Param(name string) string { return param(p.Params, name) }

// Filename returns the name that a part suggests for itself, RFC 2183 §2.3, or
// else its name parameter, which was used before.
func (p *Part) Filename() string {
	if f := param(p.DispParams, "filename"); f != "" {
		return f
	}
	return p.Param("name")
}

// Part finds a part by its IMAP part number, RFC 9051 §6.4.5.1. Part 1 of a
// message that is no multipart is its only body; the number of a message
// within is followed by the numbers of that message. No number is the root.
func (s *Structure) Part(path []int) (*Part, bool) {
	p := &s.Root
	message := true // p is the root of a message, whose only part may be itself
	for i, n := range path {
		if i > 0 {
			if message = p.IsMessage(); message {
				p = &p.Children[0]
			}
		}
		switch {
		case p.IsMultipart() && n >= 1 && n <= len(p.Children):
			p = &p.Children[n-1]
		case message && !p.IsMultipart() && n == 1:
		default:
			return nil, false
		}
	}
	return p, true
}
