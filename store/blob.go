package store

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"io"

	"homemail/mail"
	"homemail/mail/message"
)

// chunkSize is how much of a body one row holds: a partial fetch of a large
// message reads little, and nothing large is ever in memory.
const chunkSize = 256 << 10

// A Spool takes the bytes of a message that is coming in. It reads its
// structure, takes its hash, and keeps at most two chunks in memory: one that
// fills while the other is written.
type Spool struct {
	s         *Store
	hash      hash.Hash
	parser    *message.Parser
	structure *message.Structure
	chunk     []byte
	ahead     []byte     // the chunk that is being written
	head      []byte     // the start of the first chunk, once that was written
	writing   chan error // answers when it is; nil if there is none
	size      int64
	id        mail.BlobID // of the chunks written ahead, 0 if there are none
	chunks    uint32
	err       error
	ended     bool
}

// NewSpool starts a message. Its Discard must be called in the end.
func (s *Store) NewSpool() *Spool {
	s.receiving.Add(1)
	sp := &Spool{s: s, hash: sha256.New(), parser: message.NewParser()}
	if b, ok := s.chunks.Get().(*[]byte); ok {
		sp.chunk = (*b)[:0]
	}
	return sp
}

// Write takes the next bytes. After an error it takes no more.
func (sp *Spool) Write(p []byte) (int, error) {
	if sp.err != nil {
		return 0, sp.err
	}
	sp.hash.Write(p)
	sp.parser.Write(p)
	sp.size += int64(len(p))
	for rest := p; len(rest) > 0; {
		n := min(chunkSize-len(sp.chunk), len(rest))
		sp.chunk = append(withRoom(sp.chunk, n), rest[:n]...)
		rest = rest[n:]
		if len(sp.chunk) == chunkSize {
			if sp.err = sp.writeAhead(); sp.err != nil {
				return len(p) - len(rest), sp.err
			}
		}
	}
	return len(p), nil
}

// withRoom returns b with capacity for n more bytes and a sum behind them.
func withRoom(b []byte, n int) []byte {
	if cap(b)-len(b) >= n+sumSize {
		return b
	}
	size := max(2*cap(b), len(b)+n, 8<<10)
	return append(make([]byte, 0, min(size, chunkSize)+sumSize), b...)
}

// writeAhead puts a full chunk into the store, where a sweep would find it
// should the message never be delivered. No flush is waited for: the commit
// that delivers the message flushes the chunk too.
func (sp *Spool) writeAhead() error {
	if err := errors.Join(sp.wait(), sp.s.Room(chunkSize)); err != nil {
		return err
	}
	if sp.id == 0 {
		sp.id = sp.s.newBlob()
		sp.head = bytes.Clone(sp.chunk[:headSize])
	}
	id, n, b := sp.id, sp.chunks, sp.chunk
	r := &request{need: toGrow, lazy: true, fn: func(t *tx) error {
		if n == 0 {
			t.put(stagedKey(id), nil)
		}
		t.putChunk(id, n, b)
		return nil
	}}
	sp.s.post(r)
	sp.s.space.wrote(2 * chunkSize)
	sp.writing = r.done
	sp.chunks++
	sp.chunk, sp.ahead = sp.ahead[:0], sp.chunk
	return nil
}

// wait waits until the chunk that is being written is in the store.
func (sp *Spool) wait() error {
	if sp.writing == nil {
		return nil
	}
	err := <-sp.writing
	sp.writing = nil
	return err
}

// putChunk writes a chunk, and its sum into the spare capacity behind it.
func (t *tx) putChunk(id mail.BlobID, n uint32, b []byte) {
	key := chunkKey(id, n)
	t.own.set(key, binary.BigEndian.AppendUint32(b, sum(key, b)))
}

// headSize is how much of a large message is kept to make a preview of.
const headSize = 64 << 10

// start returns how the message begins.
func (sp *Spool) start() []byte {
	if sp.id == 0 {
		return sp.chunk
	}
	return sp.head
}

// Size is the number of bytes written so far.
func (sp *Spool) Size() int64 { return sp.size }

// Structure ends the writing and tells what the message looks like.
func (sp *Spool) Structure() *message.Structure {
	if sp.structure == nil {
		sp.structure = sp.parser.Structure()
	}
	return sp.structure
}

// Discard frees what was not delivered. It may be called again, and after
// Deliver.
func (sp *Spool) Discard() {
	if sp.ended {
		return
	}
	_ = sp.wait() // what became of it does not matter any more
	sp.end()
	if sp.id == 0 {
		return
	}
	id, chunks := sp.id, sp.chunks
	err := sp.s.submit(&request{need: toShrink, lazy: true, fn: func(t *tx) error {
		t.dropChunks(id, chunks)
		t.del(stagedKey(id))
		return nil
	}})
	if err != nil && !errors.Is(err, ErrClosed) && !errors.Is(err, ErrBroken) {
		sp.s.log.Warn("bytes of a refused message stay until the next start", "blob", id, "err", err)
	}
}

func (sp *Spool) end() {
	sp.ended = true
	for _, b := range [][]byte{sp.chunk, sp.ahead} {
		if cap(b) > 0 {
			sp.s.chunks.Put(&b)
		}
	}
	sp.chunk, sp.ahead = nil, nil
	sp.s.receiving.Add(-1)
}

func chunksOf(size int64) uint32 { return uint32((size + chunkSize - 1) / chunkSize) }

func (t *tx) dropChunks(id mail.BlobID, chunks uint32) {
	for n := range chunks {
		t.del(chunkKey(id, n))
	}
}

// A blob is what a blob row says.
type blob struct {
	id   mail.BlobID
	size int64
}

func decodeBlob(v []byte) (b blob, err error) {
	d := decoder{rest: v}
	b.id, b.size = mail.BlobID(d.uint()), int64(d.uint())
	return b, d.err
}

// putBlob makes the spooled bytes a blob. If the store has the same bytes
// already they are used, and what was written ahead is dropped, but for the
// chunks that are damaged.
func (t *tx) putBlob(sp *Spool, sum [32]byte, damaged badChunks) (mail.BlobID, error) {
	key := blobKey(sum)
	v, err := t.get(key)
	if err == nil {
		b, err := decodeBlob(v)
		if err != nil || b.size != sp.size {
			return 0, errors.Join(err, wrong("blob %s has another size", b.id))
		}
		if b.id == damaged.id {
			if err := t.mendChunks(sp, damaged); err != nil {
				return 0, err
			}
		}
		if sp.id != 0 {
			t.dropChunks(sp.id, sp.chunks)
			t.del(stagedKey(sp.id))
		}
		return b.id, nil
	}
	if !errors.Is(err, ErrNotFound) {
		return 0, err
	}
	id := sp.id
	if id == 0 {
		id = t.store.newBlob()
	} else {
		t.del(stagedKey(id))
	}
	if len(sp.chunk) > 0 {
		t.putChunk(id, sp.chunks, sp.chunk)
	}
	t.putBlobRow(sum, blob{id, sp.size})
	return id, nil
}

func (t *tx) putBlobRow(hash [32]byte, b blob) {
	e := encoder{}
	e.uint(uint64(b.id))
	e.uint(uint64(b.size))
	t.put(blobKey(hash), e)
}

// badChunks are those of a blob that cannot be read.
type badChunks struct {
	id   mail.BlobID
	list []uint32
}

// badChunks reads the blob that has some bytes already. Who brings them again
// after they were damaged must not see them thrown away.
func (s *Store) badChunks(hash [32]byte) badChunks {
	b, _ := s.blobRow(hash)
	bad := badChunks{id: b.id}
	for n := range chunksOf(b.size) {
		err := s.view(func(r reader) error {
			_, err := r.get(chunkKey(b.id, n))
			return err
		})
		if err != nil {
			bad.list = append(bad.list, n)
		}
	}
	return bad
}

// mendChunks writes damaged chunks of a blob anew from a spool with its bytes.
func (t *tx) mendChunks(sp *Spool, bad badChunks) (err error) {
	for _, n := range bad.list {
		b := sp.chunk
		if n < sp.chunks {
			if b, err = t.get(chunkKey(sp.id, n)); err != nil {
				return err
			}
		}
		t.putChunk(bad.id, n, b)
		t.store.log.Info("a damaged chunk was mended: its message came again", "blob", bad.id, "chunk", n)
	}
	return nil
}

// dropUnreferenced removes blobs that no message refers to any more.
func (t *tx) dropUnreferenced(list map[mail.BlobID]droppedBlob) error {
	for id, b := range list {
		used, err := t.referenced(id)
		if err != nil {
			return err
		}
		if used {
			continue
		}
		// After damage the row can be of another blob with the same bytes.
		v, err := t.get(blobKey(b.hash))
		row, _ := decodeBlob(v)
		if err != nil || row.id == id {
			t.del(blobKey(b.hash))
		}
		t.dropChunks(id, chunksOf(b.size))
		t.freed += b.size
	}
	return nil
}

type droppedBlob struct {
	hash [32]byte
	size int64
}

// referenced reports whether a message refers to a blob.
func (t *tx) referenced(id mail.BlobID) (found bool, err error) {
	prefix := k(tReference).blob(id)
	err = t.snapshot.keys(prefix, nil, func(key []byte) (bool, error) {
		v, changed := t.lookup(key)
		found = !changed || v != nil
		return !found, nil
	})
	if found || err != nil {
		return found, err
	}
	for _, c := range []*changes{t.batch, &t.own} {
		for _, key := range c.references[id] {
			if v, _ := t.lookup(key); v != nil {
				return true, nil
			}
		}
	}
	return false, nil
}

// sweepStaged removes what messages left that were never delivered.
func (s *Store) sweepStaged() error {
	var staged []mail.BlobID
	err := s.view(func(r reader) error {
		return r.keys([]byte{tStaged}, nil, func(key []byte) (bool, error) {
			staged = append(staged, mail.BlobID(parse(key).u64()))
			return true, nil
		})
	})
	if err != nil || len(staged) == 0 {
		return err
	}
	b := &changes{}
	err = s.view(func(r reader) error {
		for _, id := range staged {
			b.set(stagedKey(id), nil)
			err := r.keys(k(tChunk).blob(id), nil, func(key []byte) (bool, error) {
				b.set(append([]byte{}, key...), nil)
				return true, nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	s.log.Info("removed messages that were never received whole", "count", len(staged))
	return s.write(b, true)
}

// A Body reads a message's bytes: its prefix, then its blob. It holds one
// chunk in memory.
type Body struct {
	a      *Account
	m      *Message
	at     int64
	chunk  []byte
	number uint32
}

// Body returns the bytes of a message. Reading it fails with ErrCorrupt if
// they are damaged, and with ErrNotFound if the message was expunged meanwhile.
func (a *Account) Body(m *Message) *Body { return &Body{a: a, m: m} }

// Read reads on.
func (b *Body) Read(p []byte) (int, error) {
	n, err := b.ReadAt(p, b.at)
	b.at += int64(n)
	if n > 0 && err == io.EOF {
		err = nil
	}
	return n, err
}

// Seek sets where the next Read starts.
func (b *Body) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += b.at
	case io.SeekEnd:
		offset += b.m.Size
	}
	if offset < 0 {
		return 0, fmt.Errorf("%w: a place before the message", ErrInvalid)
	}
	b.at = offset
	return offset, nil
}

// ReadAt reads at an offset. It is not safe for concurrent use.
func (b *Body) ReadAt(p []byte, off int64) (n int, err error) {
	for n < len(p) {
		part, err := b.from(off + int64(n))
		if err != nil {
			return n, err
		}
		n += copy(p[n:], part)
	}
	return n, nil
}

// WriteTo writes what is left, chunk by chunk.
func (b *Body) WriteTo(w io.Writer) (n int64, err error) {
	for {
		part, err := b.from(b.at)
		if err == io.EOF {
			return n, nil
		}
		if err != nil {
			return n, err
		}
		k, err := w.Write(part)
		n += int64(k)
		b.at += int64(k)
		if err != nil {
			return n, err
		}
	}
}

// from returns the bytes in memory from an offset on, at least one.
func (b *Body) from(off int64) ([]byte, error) {
	if off >= b.m.Size {
		return nil, io.EOF
	}
	if off < int64(len(b.m.Prefix)) {
		return b.m.Prefix[off:], nil
	}
	off -= int64(len(b.m.Prefix))
	n := uint32(off / chunkSize)
	if b.chunk == nil || b.number != n {
		if err := b.load(n); err != nil {
			return nil, err
		}
	}
	return b.chunk[off%chunkSize:], nil
}

func (b *Body) load(n uint32) error {
	b.chunk = nil
	err := b.a.s.view(func(r reader) error {
		v, err := r.get(chunkKey(b.m.Blob, n))
		if errors.Is(err, ErrNotFound) {
			if _, err := r.get(referenceKey(b.m.Blob, b.a.ID, b.m.Mailbox, b.m.UID)); errors.Is(err, ErrNotFound) {
				return fmt.Errorf("message %d: %w", b.m.UID, ErrNotFound)
			}
			return wrong("chunk %d of blob %s is missing", n, b.m.Blob)
		}
		if err != nil {
			return err
		}
		if size := b.m.BlobSize - int64(n)*chunkSize; int64(len(v)) != min(size, chunkSize) {
			return wrong("chunk %d of blob %s has %d bytes", n, b.m.Blob, len(v))
		}
		b.chunk, b.number = v, n
		return nil
	})
	return err
}
