package client

import (
	"strconv"
	"strings"
)

// extensions are what a server offers: keywords in upper case, since RFC 5321
// §4.1.1.1 has them without case, and their parameters as they stand.
type extensions map[string]string

// parseExtensions reads the lines of an EHLO reply after the first. What is no
// ehlo-line is passed over.
func parseExtensions(r reply) extensions {
	list := extensions{}
	for _, l := range r.lines[1:] {
		word, params, _ := strings.Cut(strings.TrimSpace(l), " ")
		word = strings.ToUpper(word)
		if name, first, ok := strings.Cut(word, "="); ok && name == "AUTH" {
			word, params = name, first+" "+params // as Exchange 5.5 wrote it
		}
		if !isKeyword(word) {
			continue
		}
		if before, ok := list[word]; ok && word == "AUTH" {
			params = before + " " + params
		}
		list[word] = strings.TrimSpace(params)
	}
	return list
}

func isKeyword(s string) bool {
	for i := range len(s) {
		c := s[i]
		if (c < 'A' || c > 'Z') && (c < '0' || c > '9') && (c != '-' || i == 0) {
			return false
		}
	}
	return s != ""
}

func (e extensions) has(keyword string) bool {
	_, ok := e[keyword]
	return ok
}

// size is the largest message that the server takes, RFC 1870 §4; 0 if it does
// not say, or says what is no number.
func (e extensions) size() int64 {
	n, err := strconv.ParseInt(e["SIZE"], 10, 64)
	if err != nil || n < 0 {
		return 0
	}
	return n
}

// mechanisms are the names after AUTH, RFC 4954 §3.
func (e extensions) mechanisms() []string {
	return strings.Fields(strings.ToUpper(e["AUTH"]))
}
