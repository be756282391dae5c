package dkim

import (
	"bytes"
	"errors"
	"strings"
)

// maxTags is more than twice of what all RFCs define.
const maxTags = 40

// A tag is one entry of a tag-list, RFC 6376 §3.2.
type tag struct {
	name, value string // without the white space around
	start, end  int    // where the value is, with the white space around
}

// tags are a tag-list.
type tags []tag

// get returns the value of a tag; "" if it is missing, which for no tag of
// ours differs from being empty unless has is asked.
func (t tags) get(name string) string {
	for _, e := range t {
		if e.name == name {
			return e.value
		}
	}
	return ""
}

func (t tags) has(name string) bool {
	for _, e := range t {
		if e.name == name {
			return true
		}
	}
	return false
}

// Why a tag-list is none.
var (
	errTagSyntax = errors.New("a tag without a value")
	errTagName   = errors.New("a tag without a proper name")
	errTagTwice  = errors.New("a tag stands twice")
	errTagMany   = errors.New("too many tags")
)

// parseTags reads a tag-list.
func parseTags(b []byte) (tags, error) {
	var list tags
	for at := 0; at < len(b); {
		end := len(b)
		if i := bytes.IndexByte(b[at:], ';'); i >= 0 {
			end = at + i
		}
		spec := b[at:end]
		start := at
		at = end + 1
		if len(bytes.Trim(spec, " \t\r\n")) == 0 {
			if at < len(b) && len(bytes.Trim(b[at:], " \t\r\n")) > 0 {
				return nil, errTagSyntax // only the last may be empty
			}
			break
		}
		name, value, ok := bytes.Cut(spec, []byte{'='})
		if !ok {
			return nil, errTagSyntax
		}
		start += len(name) + 1
		name = bytes.Trim(name, " \t\r\n")
		switch {
		case !isTagName(name):
			return nil, errTagName
		case list.has(string(name)):
			return nil, errTagTwice
		case len(list) == maxTags:
			return nil, errTagMany
		}
		list = append(list, tag{string(name), string(bytes.Trim(value, " \t\r\n")), start, end})
	}
	return list, nil
}

// isTagName is ALPHA *ALNUMPUNC.
func isTagName(name []byte) bool {
	for i, c := range name {
		letter := 'a' <= c|0x20 && c|0x20 <= 'z'
		if !letter && (i == 0 || c != '_' && (c < '0' || c > '9')) {
			return false
		}
	}
	return len(name) > 0
}

// withoutSpace removes folding white space, which base64 and lists may hold.
func withoutSpace(s string) string {
	if !strings.ContainsAny(s, " \t\r\n") {
		return s
	}
	return strings.NewReplacer(" ", "", "\t", "", "\r", "", "\n", "").Replace(s)
}

// splitList splits a list at its colons.
func splitList(s string) []string { return strings.Split(withoutSpace(s), ":") }
