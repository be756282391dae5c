package store

import (
	"encoding/binary"

	"homemail/mail"
)

// The tables. A key is the table's byte, fixed-width big-endian numbers, and
// at most one part of variable length, last: byte order is numeric order.
const (
	tSchema     = 'v' // the schema's version
	tAccount    = 'a' // address: profile
	tOwner      = 'o' // account: its primary address
	tRoute      = 'r' // address: what it means
	tDomain     = 'D' // domain
	tUsage      = 'w' // account: bytes and messages
	tMailbox    = 'm' // account, mailbox
	tName       = 'n' // account, name: mailbox
	tMessage    = 'i' // account, mailbox, uid: record, never rewritten
	tFlags      = 'f' // account, mailbox, uid: modseq, flags, keywords, size
	tChange     = 's' // account, mailbox, modseq: uid, gone?
	tBlob       = 'b' // SHA-256: blob id, size
	tChunk      = 'c' // blob, n: bytes
	tReference  = 'u' // blob, account, mailbox, uid
	tStaged     = 'g' // blob: its chunks are being written
	tSetting    = 'k' // name: settings and counters
	tLastUse    = 't' // account, device: when and from where
	tItem       = 'q' // item: a message that has to leave the house
	tPending    = 'Q' // item, n: a recipient that it has not left for
	tDone       = 'y' // item, n: a recipient that it will not be tried for again
	tDue        = 'd' // hash of a domain, due, item, n: the domain
	tState      = 'x' // path: what other packages keep
	tEvent      = 'e' // number: what happened, several events a row
	tSummary    = 'h' // account, mailbox, uid, n: what lists of messages show, rendered
	tSortKeys   = 'p' // account, mailbox, uid: what is sorted by, links of threads, preview
	tDerived    = 'S' // account, path: what is made of the mail, to search it
	tAnnotation = 'A' // account, mailbox or 0, entry: METADATA
	tThread     = 'T' // account, hash of a message id: the thread of a reply
)

// key is a key under construction.
type key []byte

// k starts a key of a table.
func k(table byte) key { return append(make(key, 0, 32), table) }

func (b key) u32(n uint32) key          { return binary.BigEndian.AppendUint32(b, n) }
func (b key) u64(n uint64) key          { return binary.BigEndian.AppendUint64(b, n) }
func (b key) str(s string) key          { return append(b, s...) }
func (b key) acct(a mail.AccountID) key { return b.u32(uint32(a)) }
func (b key) mbox(m mail.MailboxID) key { return b.u32(uint32(m)) }
func (b key) uid(u mail.UID) key        { return b.u32(uint32(u)) }
func (b key) mod(m mail.ModSeq) key     { return b.u64(uint64(m)) }
func (b key) item(id mail.ItemID) key   { return b.u32(uint32(id)) }
func (b key) blob(id mail.BlobID) key   { return b.u64(uint64(id)) }

func accountKey(address mail.Path) key       { return k(tAccount).str(string(address)) }
func ownerKey(a mail.AccountID) key          { return k(tOwner).acct(a) }
func routeKey(address mail.Path) key         { return k(tRoute).str(string(address)) }
func domainKey(domain string) key            { return k(tDomain).str(domain) }
func usageKey(a mail.AccountID) key          { return k(tUsage).acct(a) }
func nameKey(a mail.AccountID, n string) key { return k(tName).acct(a).str(n) }
func settingKey(name string) key             { return k(tSetting).str(name) }
func stagedKey(id mail.BlobID) key           { return k(tStaged).blob(id) }
func blobKey(hash [32]byte) key              { return append(k(tBlob), hash[:]...) }
func chunkKey(id mail.BlobID, n uint32) key  { return k(tChunk).blob(id).u32(n) }

func itemKey(id mail.ItemID) key              { return k(tItem).item(id) }
func pendingKey(id mail.ItemID, n uint32) key { return k(tPending).item(id).u32(n) }
func doneKey(id mail.ItemID, n uint32) key    { return k(tDone).item(id).u32(n) }
func stateKey(path string) key                { return k(tState).str(path) }
func eventKey(first uint64) key               { return k(tEvent).u64(first) }

func mailboxKey(a mail.AccountID, m mail.MailboxID) key { return k(tMailbox).acct(a).mbox(m) }

// inMailbox starts the keys of a table that has rows per message.
func inMailbox(table byte, a mail.AccountID, m mail.MailboxID) key { return k(table).acct(a).mbox(m) }

func referenceKey(id mail.BlobID, a mail.AccountID, m mail.MailboxID, u mail.UID) key {
	return k(tReference).blob(id).acct(a).mbox(m).uid(u)
}

func summaryKey(a mail.AccountID, m mail.MailboxID, u mail.UID, n uint8) key {
	return append(inMailbox(tSummary, a, m).uid(u), n)
}

func threadKey(a mail.AccountID, id uint64) key { return k(tThread).acct(a).u64(id) }

// keyReader takes a key apart. Its fields are read in order; a key too short
// makes ok false.
type keyReader struct {
	rest []byte
	ok   bool
}

// parse starts reading after the table's byte.
func parse(key []byte) *keyReader {
	if len(key) == 0 {
		return &keyReader{}
	}
	return &keyReader{rest: key[1:], ok: true}
}

func (r *keyReader) u32() uint32 {
	if len(r.rest) < 4 {
		r.ok = false
		return 0
	}
	n := binary.BigEndian.Uint32(r.rest)
	r.rest = r.rest[4:]
	return n
}

func (r *keyReader) u64() uint64 {
	if len(r.rest) < 8 {
		r.ok = false
		return 0
	}
	n := binary.BigEndian.Uint64(r.rest)
	r.rest = r.rest[8:]
	return n
}

func (r *keyReader) str() string { return string(r.rest) }
