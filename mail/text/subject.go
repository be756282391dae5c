package text

import "strings"

// subjectMax is how much of a subject tells a conversation from others.
const subjectMax = 1 << 10

// BaseSubject returns the base subject of a decoded subject, RFC 5256 §2.1, and
// whether the subject says that the message is a reply or a forward. Beside
// the RFC's words it knows those that programs in other languages write.
func BaseSubject(subject string) (base string, reply bool) {
	s := strings.Join(strings.Fields(subject[:min(len(subject), subjectMax)]), " ")
	for {
		was := s
		s, reply = trimTrailer(s, reply)
		s, reply = trimLeaders(s, reply)
		if inner, ok := cutForward(s); ok {
			s, reply = inner, true
			continue
		}
		if s == was {
			return s, reply
		}
	}
}

// trimTrailer removes subj-trailer.
func trimTrailer(s string, reply bool) (string, bool) {
	for {
		t := strings.TrimRight(s, " ")
		if n := len(t) - len("(fwd)"); n >= 0 && strings.EqualFold(t[n:], "(fwd)") {
			t, reply = t[:n], true
		}
		if t == s {
			return s, reply
		}
		s = t
	}
}

// trimLeaders removes subj-leader, and subj-blob if something is left.
func trimLeaders(s string, reply bool) (string, bool) {
	for {
		s = strings.TrimLeft(s, " ")
		if rest, ok := cutReply(s); ok {
			s, reply = rest, true
			continue
		}
		if rest, ok := cutBlob(s); ok && rest != "" {
			s = rest
			continue
		}
		return s, reply
	}
}

// replies are what subj-refwd begins with: RFC 5256, German, Scandinavian,
// French, Chinese.
var replies = [...]string{"re", "fwd", "fw", "aw", "wg", "sv", "vs", "tr", "回复", "答复", "转发"}

// cutReply cuts off *subj-blob subj-refwd.
func cutReply(s string) (rest string, ok bool) {
	for {
		after, ok := cutBlob(s)
		if !ok {
			break
		}
		s = after
	}
	for _, word := range replies {
		if len(s) <= len(word) || !strings.EqualFold(s[:len(word)], word) {
			continue
		}
		t := strings.TrimLeft(s[len(word):], " ")
		if after, ok := cutBlob(t); ok {
			t = after
		}
		if after, ok := strings.CutPrefix(t, ":"); ok {
			return after, true
		}
		if after, ok := strings.CutPrefix(t, "："); ok {
			return after, true
		}
	}
	return "", false
}

// cutBlob cuts off subj-blob: text in brackets.
func cutBlob(s string) (rest string, ok bool) {
	if !strings.HasPrefix(s, "[") {
		return s, false
	}
	end := strings.IndexAny(s[1:], "[]")
	if end < 0 || s[1+end] != ']' {
		return s, false
	}
	return strings.TrimLeft(s[end+2:], " "), true
}

// cutForward takes away subj-fwd-hdr and subj-fwd-trl.
func cutForward(s string) (inner string, ok bool) {
	if len(s) < 6 || !strings.EqualFold(s[:5], "[fwd:") || s[len(s)-1] != ']' {
		return s, false
	}
	return s[5 : len(s)-1], true
}
