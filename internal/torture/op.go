// Package torture proves the promise that what was acknowledged is never lost.
//
// A Driver does random operations on a mail store: on package store in a
// process of its own, or as a client of a server. Every operation is announced
// before it starts and acknowledged after it returned, one line each, to
// another process, which keeps them in a Ledger. After the store's process was
// killed, its disk cut off or its files damaged, the ledger is held against
// the State that is found.
package torture

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"sync"
)

// Kinds of operations.
const (
	Deliver  = "deliver"  // one message to the INBOX of one or more accounts
	Append   = "append"   // one message with flags to a mailbox
	SetFlags = "flags"    // exactly these flags
	AddFlags = "addflags" // these too
	DelFlags = "delflags" // these no more
	Copy     = "copy"
	Move     = "move"
	Expunge  = "expunge"
	Create   = "create"
	Rename   = "rename"
	Delete   = "delete" // a mailbox with its messages
	Profile  = "profile"
	Maintain = "maintain"
)

// A Box names a mailbox for ever: no two mailboxes of an account ever have the
// same UIDVALIDITY here.
type Box struct {
	Account  string `json:"a"`
	Validity uint32 `json:"v"`
	Name     string `json:"n,omitempty"`
}

// An Op is what a worker asks for.
type Op struct {
	Worker int      `json:"w"`
	N      int      `json:"i"` // of this worker's
	Kind   string   `json:"k"`
	Box    Box      `json:"box,omitzero"`  // where the messages are, or the mailbox itself
	To     []Box    `json:"to,omitempty"`  // where they go
	UIDs   []uint32 `json:"u,omitempty"`   // of the messages
	SHA    string   `json:"sha,omitempty"` // of the message that comes in
	Prefix string   `json:"p,omitempty"`   // header lines before it, if known
	Flags  []string `json:"f,omitempty"`   // sorted
	Name   string   `json:"name,omitempty"`
	Item   uint32   `json:"q,omitempty"`  // of the queue
	Rcpts  []Rcpt   `json:"rc,omitempty"` // as they are to be
	At     int64    `json:"at,omitempty"` // milliseconds: when it is done, or what Sweep looks back to
}

// A Placed tells where a message came to be; UID 0 if nobody said.
type Placed struct {
	Box    Box    `json:"b"`
	From   uint32 `json:"from,omitempty"` // its UID before, for Copy and Move
	UID    uint32 `json:"u"`
	ModSeq uint64 `json:"m,omitempty"`
}

// A Result is what the acknowledgement of an operation said.
type Result struct {
	Placed  []Placed `json:"placed,omitempty"`
	Changed []Placed `json:"changed,omitempty"` // flags: UID and new modseq
	Gone    []uint32 `json:"gone,omitempty"`    // expunged
	Box     Box      `json:"box,omitzero"`      // the new mailbox
	Item    uint32   `json:"q,omitempty"`       // the new message of the queue
}

// A Line is one line of what a tortured process says.
type Line struct {
	T      string   `json:"t"` // "open", "box", "state", "ready", "begin", "end", "closed"
	Op     *Op      `json:"op,omitempty"`
	Result *Result  `json:"r,omitempty"`
	Err    string   `json:"err,omitempty"`
	Unsure bool     `json:"unsure,omitempty"` // with Err: perhaps it was done nevertheless
	Box    *BoxNow  `json:"box,omitempty"`
	State  *State   `json:"state,omitempty"` // all but its boxes
	Damage []string `json:"damage,omitempty"`
	MS     int64    `json:"ms,omitempty"`
}

// A Driver does operations. When Do returns nil, success was acknowledged.
// An error is ErrRefused if surely nothing was done.
type Driver interface {
	Do(op *Op, body []byte) (Result, error)
}

// ErrRefused says that an operation was refused as a whole.
var ErrRefused = errors.New("refused")

// A Printer writes lines, each with one call so that a kill cuts no line short
// of which the reader has seen a part.
type Printer struct {
	mu sync.Mutex
	W  io.Writer
}

// Print writes a line.
func (p *Printer) Print(l Line) error {
	b, err := json.Marshal(l)
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	_, err = p.W.Write(append(b, '\n'))
	return err
}

// PrintState writes what a store holds, one line for each mailbox.
func (p *Printer) PrintState(st State) {
	for i := range st.Boxes {
		p.Print(Line{T: "box", Box: &st.Boxes[i]})
	}
	p.Print(Line{T: "state", State: &st})
}

// ReadLines gives fn every whole line until the other side is gone.
func ReadLines(r io.Reader, fn func(Line)) error {
	br := bufio.NewReaderSize(r, 1<<16)
	for {
		b, err := br.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return nil // without its end a line was never said
		}
		if err != nil {
			return err
		}
		var l Line
		if err := json.Unmarshal(b, &l); err != nil {
			return err
		}
		fn(l)
	}
}

// marker starts every message, so that its bytes can be told from the header
// lines that a server put before them.
const marker = "X-Torture: "

// sha returns the hash by which a message is known.
func sha(body []byte) string {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:])
}
