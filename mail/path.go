package mail

// A Path is a reverse-path or forward-path without its angle brackets. The
// empty Path is the null reverse-path "<>", RFC 5321 §4.5.5.
type Path string

// IsNull reports whether p is the null reverse-path.
func (p Path) IsNull() bool { return p == "" }
