package search

import (
	"bytes"
	"io"

	"homemail/mail/message"
)

func parse(b []byte) *message.Structure {
	p := message.NewParser()
	p.Write(b)
	return p.Structure()
}

func readerAt(b []byte) io.ReaderAt { return bytes.NewReader(b) }
