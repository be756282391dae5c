package router

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"
	"time"
)

// FuzzPCP: what is taken for an answer is one, and says what its bytes say.
func FuzzPCP(f *testing.F) {
	m := pcpMap{nonce: [12]byte{1, 2}, proto: 6, internal: 25, external: 25, addr: outside}
	good := m.append(pcpQuestion(opMap|response, lease, own4.Addr()))
	f.Add(good)
	f.Add(good[:pcpHeader])
	f.Add(append(bytes.Clone(good), make([]byte, maxPacket)...))
	f.Add([]byte{0, 0x81, 0, 1, 0, 0, 0, 9})
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := parsePCP(b)
		if err != nil {
			return
		}
		if len(b) > maxPacket || len(b) < pcpHeader || b[0] != pcpVersion || b[1]&response == 0 {
			t.Fatalf("took %x", b)
		}
		again := pcpQuestion(a.op|response, a.life, netip.IPv6Unspecified())
		again[2], again[3] = b[2], a.result
		binary.BigEndian.PutUint32(again[8:], a.epoch)
		copy(again[12:], b[12:24])
		want := bytes.Clone(b[:pcpHeader])
		if a.op == opMap {
			again = a.m.append(again)
			want = bytes.Clone(b[:pcpHeader+pcpMapBytes])
			copy(want[pcpHeader+13:], []byte{0, 0, 0}) // reserved
		}
		if !bytes.Equal(again, want) {
			t.Errorf("%x became %x", want, again)
		}
	})
}

// FuzzNATPMP: the same for the older language.
func FuzzNATPMP(f *testing.F) {
	f.Add([]byte{0, 128, 0, 0, 0, 0, 0, 9, 203, 0, 113, 7})
	f.Add([]byte{0, 130, 0, 0, 0, 0, 0, 9, 0, 25, 0, 25, 0, 0, 28, 32})
	f.Add([]byte{0, 130, 0, 2, 0, 0, 0, 9})
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := parsePMP(b)
		if err != nil {
			return
		}
		if b[0] != 0 || b[1] != a.op|response || len(b) > 16 || a.life > (1<<32)*time.Second {
			t.Fatalf("took %x", b)
		}
		if a.result == 0 && (a.op == pmpAddress) != a.addr.IsValid() {
			t.Errorf("%x: address %s", b, a.addr)
		}
	})
}

// FuzzLocation: whoever answers, only the gateway is gone to.
func FuzzLocation(f *testing.F) {
	for _, at := range []string{"http://192.168.1.1:5000/x", "http://192.168.1.66/", "http://192.168.1.1@evil/", "http://[::ffff:192.168.1.1]/", "http://0xc0a80101/"} {
		f.Add([]byte("HTTP/1.1 200 OK\r\nST: " + igd1 + "\r\nLOCATION: " + at + "\r\n\r\n"))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		u, err := location(b, igd1, hop4)
		if err == nil && (u.Hostname() != gateway4.String() || u.Scheme != "http") {
			t.Errorf("%q leads to %s", b, u)
		}
	})
}

// FuzzScan: a document is read to its end or refused, and no text is long.
func FuzzScan(f *testing.F) {
	f.Add([]byte(describe))
	f.Add([]byte("<a><![CDATA[x]]></a>"))
	f.Add([]byte("<a></b>"))
	f.Fuzz(func(t *testing.T, b []byte) {
		n := 0
		err := scan(b, func(name, text string) {
			if n++; n > maxElements*3 || len(text) > maxText {
				t.Fatalf("%d elements, %d bytes", n, len(text))
			}
		})
		if err == nil && n == 0 && bytes.ContainsRune(b, '<') && bytes.Contains(b, []byte("</")) && !bytes.Contains(b, []byte("<!")) && !bytes.Contains(b, []byte("<?")) {
			t.Errorf("%q has no element", b)
		}
	})
}
