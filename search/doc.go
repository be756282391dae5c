// Package search answers what SEARCH asks of the text of messages, RFC 9051
// §6.4.4: exactly, and at once. It keeps an index in the store, beside the
// mail, that is made in the background and can be made anew at any time; what
// the index does not have yet is read. It changes no mail.
//
// docs/search.md tells how the index works, and what it costs.
package search
