package wire

import (
	"io"
	"strconv"
	"time"
	"unicode/utf8"
)

// flushAt is how much a Writer gathers before it writes by itself: two TLS
// records.
const flushAt = 32 << 10

// A Writer gathers responses. It writes them when there is much of them, and
// when Flush is called: before the server waits for its client. The first error
// sticks. Its buffer is not kept over a Flush, as most connections do nothing
// most of the time.
type Writer struct {
	w   io.Writer
	buf []byte
	err error

	// UTF8 says that strings and mailbox names may be UTF-8, RFC 6855 §3.
	UTF8 bool
}

// NewWriter returns a Writer to w.
func NewWriter(w io.Writer) *Writer { return &Writer{w: w} }

// Reset goes on to another stream; what was gathered must have been flushed.
func (w *Writer) Reset(to io.Writer) { w.w = to }

// Err returns the first error of writing.
func (w *Writer) Err() error { return w.err }

// Flush writes what was gathered.
func (w *Writer) Flush() error {
	if w.err == nil && len(w.buf) > 0 {
		_, w.err = w.w.Write(w.buf)
	}
	w.buf = nil
	return w.err
}

// drain writes what was gathered and keeps the buffer.
func (w *Writer) drain() {
	if w.err == nil {
		_, w.err = w.w.Write(w.buf)
	}
	w.buf = w.buf[:0]
}

// Raw writes text as it is.
func (w *Writer) Raw(s string) *Writer {
	w.buf = append(w.buf, s...)
	return w
}

// RawBytes writes bytes as they are.
func (w *Writer) RawBytes(b []byte) *Writer {
	w.buf = append(w.buf, b...)
	return w
}

// Byte writes one byte.
func (w *Writer) Byte(c byte) *Writer {
	w.buf = append(w.buf, c)
	return w
}

// End ends a response, and may write what was gathered.
func (w *Writer) End() error {
	w.buf = append(w.buf, '\r', '\n')
	if len(w.buf) >= flushAt {
		w.drain()
	}
	return w.err
}

// Number writes a number.
func (w *Writer) Number(n int64) *Writer {
	w.buf = strconv.AppendInt(w.buf, n, 10)
	return w
}

// Unsigned writes a number.
func (w *Writer) Unsigned(n uint64) *Writer {
	w.buf = strconv.AppendUint(w.buf, n, 10)
	return w
}

// Numbered begins a response about a message: "* 23 FETCH ".
func (w *Writer) Numbered(n uint32, name string) *Writer {
	w.buf = append(w.buf, "* "...)
	w.buf = strconv.AppendUint(w.buf, uint64(n), 10)
	w.buf = append(w.buf, ' ')
	w.buf = append(w.buf, name...)
	return w
}

// String writes a string: in quotes if it may be, else as a literal.
func (w *Writer) String(s string) *Writer {
	w.buf = AppendString(w.buf, s, w.UTF8)
	return w
}

// NString writes a string, or NIL if it is empty.
func (w *Writer) NString(s string) *Writer {
	w.buf = AppendNString(w.buf, s, w.UTF8)
	return w
}

// Mailbox writes a mailbox's name: INBOX as an atom, all others as strings.
func (w *Writer) Mailbox(name string) *Writer {
	if name == "INBOX" {
		return w.Raw(name)
	}
	if !w.UTF8 {
		name = EncodeName(name)
	}
	return w.String(name)
}

// DateTime writes a date-time, RFC 9051 §9.
func (w *Writer) DateTime(t time.Time) *Writer {
	w.buf = append(w.buf, '"')
	w.buf = t.AppendFormat(w.buf, DateTimeLayout)
	w.buf = append(w.buf, '"')
	return w
}

// Literal writes the announcement of a literal. Its bytes follow by Copy or
// RawBytes.
func (w *Writer) Literal(size int64, binary bool) *Writer {
	if binary {
		w.buf = append(w.buf, '~')
	}
	w.buf = append(w.buf, '{')
	w.buf = strconv.AppendInt(w.buf, size, 10)
	w.buf = append(w.buf, "}\r\n"...)
	return w
}

// ReadFrom writes all of r, a piece at a time. It returns the error of r; that
// of writing is Err's.
func (w *Writer) ReadFrom(r io.Reader) (n int64, err error) {
	for {
		if len(w.buf) >= flushAt {
			w.drain()
		}
		if w.err != nil {
			return n, w.err
		}
		if cap(w.buf) < flushAt {
			w.buf = append(make([]byte, 0, flushAt), w.buf...)
		}
		m, err := r.Read(w.buf[len(w.buf):cap(w.buf)])
		w.buf = w.buf[:len(w.buf)+m]
		n += int64(m)
		if err == io.EOF {
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
}

// Append lets fn append to what was gathered.
func (w *Writer) Append(fn func([]byte) []byte) *Writer {
	w.buf = fn(w.buf)
	return w
}

// Len is how many bytes wait to be written.
func (w *Writer) Len() int { return len(w.buf) }

// AppendString appends a string: in quotes if that may be, else as a literal.
func AppendString(b []byte, s string, utf8 bool) []byte {
	if !quotable(s, utf8) {
		b = append(b, '{')
		b = strconv.AppendInt(b, int64(len(s)), 10)
		b = append(b, "}\r\n"...)
		return append(b, s...)
	}
	b = append(b, '"')
	for i := 0; i < len(s); i++ {
		if s[i] == '"' || s[i] == '\\' {
			b = append(b, '\\')
		}
		b = append(b, s[i])
	}
	return append(b, '"')
}

// quoteMax is where a string becomes a literal: RFC 2683 §3.2.1.5 asks not to
// make lines long.
const quoteMax = 4000

func quotable(s string, raw bool) bool {
	if len(s) > quoteMax {
		return false
	}
	for i := 0; i < len(s); i++ {
		if c := s[i]; c == 0 || c == '\r' || c == '\n' || c >= 0x80 && !raw {
			return false
		}
	}
	return !raw || utf8.ValidString(s)
}

// AppendNString appends a string, or NIL if it is empty.
func AppendNString(b []byte, s string, utf8 bool) []byte {
	if s == "" {
		return append(b, "NIL"...)
	}
	return AppendString(b, s, utf8)
}

// AppendSet appends ascending numbers as a sequence-set.
func AppendSet[T ~uint32](b []byte, nums []T) []byte {
	for i := 0; i < len(nums); {
		j := i + 1
		for j < len(nums) && nums[j] == nums[j-1]+1 {
			j++
		}
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendUint(b, uint64(nums[i]), 10)
		if j > i+1 {
			b = append(b, ':')
			b = strconv.AppendUint(b, uint64(nums[j-1]), 10)
		}
		i = j
	}
	return b
}

// Set writes ascending numbers as a sequence-set.
func Set[T ~uint32](w *Writer, nums []T) *Writer {
	w.buf = AppendSet(w.buf, nums)
	return w
}
