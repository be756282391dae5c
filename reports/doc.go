// Package reports reads what the world says about our mail: DMARC aggregate
// reports (RFC 7489 §7.2, RFC 9990) and TLS reports (RFC 8460). It counts the
// days on which all was well, and says when a stricter policy is safe. It
// follows the mailboxes that mail to postmaster comes to, changes nothing in
// them, sends nothing, and never sets a policy by itself.
//
// Everything in a report is a stranger's word. What counts is only what came in
// a mail that passed DMARC or DKIM, and of that only what is from a reporter
// with a reason to know: one of the large ones, one of a domain that we wrote
// to, or one that the owner believes.
package reports
