// Package text makes of a message what a person reads and looks for: words in
// UTF-8 from any charset and encoding, HTML without its tags, a preview, the
// subject that a conversation has in common. It keeps nothing, has a bound on
// everything, and never fails: what cannot be read is left out.
package text
