package text

import (
	"bytes"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// tokenMax bounds one token of HTML: text without a tag in it, or a tag.
const tokenMax = 1 << 20

// fromHTML returns at most limit bytes of what a browser would show of an HTML
// document. It ends at a token that is too long.
func fromHTML(b []byte, limit int) []byte {
	z := html.NewTokenizer(bytes.NewReader(b))
	z.SetMaxBuf(tokenMax)
	out := make([]byte, 0, min(len(b), limit)/2+64)
	hidden := atom.Atom(0) // the element whose text is not shown
	for len(out) < limit {
		switch z.Next() {
		case html.ErrorToken:
			return cut(out, limit)
		case html.TextToken:
			if hidden == 0 {
				out = append(out, z.Text()...)
			}
		case html.StartTagToken, html.SelfClosingTagToken:
			name, _ := z.TagName()
			a := atom.Lookup(name)
			if unseen(a) && hidden == 0 {
				hidden = a
			}
			out = breakFor(out, a)
		case html.EndTagToken:
			name, _ := z.TagName()
			a := atom.Lookup(name)
			if a == hidden {
				hidden = 0
			}
			out = breakFor(out, a)
		}
	}
	return cut(out, limit)
}

// unseen are the elements whose text is not shown.
func unseen(a atom.Atom) bool {
	switch a {
	case atom.Script, atom.Style, atom.Title, atom.Noscript, atom.Template, atom.Textarea:
		return true
	}
	return false
}

// breakFor ends a line for a tag that is not within a line.
func breakFor(out []byte, a atom.Atom) []byte {
	switch a {
	case atom.A, atom.B, atom.I, atom.U, atom.S, atom.Em, atom.Strong, atom.Span, atom.Font, atom.Small, atom.Big, atom.Sub, atom.Sup,
		atom.Wbr, atom.Tt, atom.Code, atom.Mark, atom.Abbr, atom.Cite, atom.Q, atom.Ins, atom.Del, atom.Label, atom.Bdi, atom.Bdo, 0:
		return out
	}
	return append(out, '\n')
}
