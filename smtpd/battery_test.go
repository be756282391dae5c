package smtpd

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"runtime"
	"strings"
	"testing"

	"homemail/listen"
)

// TestSmuggling tries every way known to end a message other than the right
// one, CVE-2023-51764 and its kin: nothing may be stored, and what follows may
// never be taken for commands.
func TestSmuggling(t *testing.T) {
	const smuggled = "MAIL FROM:<evil@example.test>\r\nRCPT TO:<otto@example.test>\r\nDATA\r\n" + letter + ".\r\n"
	ends := []string{
		"\n.\n", "\n.\r\n", "\r.\r", "\r.\r\n", "\r\n.\n", "\r\n.\r",
		"\n.\r", "\r.\n", "\r\r\n.\r\r\n", "\r\n\x00.\r\n\n.\n", "\r\n.\r\r\n",
	}
	forDoors(t, func(t *testing.T, d *door) {
		for _, end := range ends {
			for _, pipelined := range []bool{false, true} {
				c := d.ready()
				text := letter + "x" + end + smuggled
				if pipelined {
					c.send("MAIL FROM:<anna@example.test>\r\nRCPT TO:<anna@example.test>\r\nDATA\r\n" + text)
					c.want("250", "250", "354")
				} else {
					c.envelope()
					c.send(text)
				}
				c.want("550 5.6.11")
				c.wantEnd()
				c.nc.Close()
			}
		}
		for _, text := range []string{"a\nb\r\n", "a\rb\r\n", "a\r\n\nb\r\n", "a\r"} {
			c := d.ready()
			c.say("MAIL FROM:<anna@example.test>", "RCPT TO:<anna@example.test>", fmt.Sprintf("BDAT %d LAST", len(letter+text)))
			c.send(letter + text + smuggled)
			c.want("250", "250", "550 5.6.11")
			c.wantEnd()
		}
		if got := d.dir.got(); len(got) > 0 {
			t.Errorf("stored %q", got[0].data)
		}
	})
}

// TestDots sends what looks like an end and is none.
func TestDots(t *testing.T) {
	d := open(t, Options{Kind: MX})
	c := d.ready()
	for sent, want := range map[string]string{
		"":                      "",
		"..\r\n":                ".\r\n",
		"...\r\n. \r\n":         "..\r\n \r\n",
		"a\r\n.b\r\n..\r\n":     "a\r\nb\r\n.\r\n",
		"\r\n\r\n":              "\r\n\r\n",
		letter + ".\t\r\nx\r\n": letter + "\t\r\nx\r\n",
	} {
		c.envelope()
		c.send(sent + ".\r\n")
		c.want("250")
		got := d.dir.got()
		if last := got[len(got)-1].data; last != want {
			t.Errorf("%q: stored %q, want %q", sent, last, want)
		}
	}
}

const out = "victim@outside.test"

// tricks are forward-paths that made servers relay for strangers.
var tricks = []string{
	"<" + out + ">", "<" + out + ".>", "<\"" + out + "\">", "<\"" + out + "\"@example.test>", "<victim%outside.test@example.test>",
	"<victim%outside.test@[127.0.0.1]>", "<outside.test!victim@example.test>", "<outside.test!victim>", "<victim%outside.test>",
	"<@example.test:" + out + ">", "<@example.test,@example.test:" + out + ">", "<@outside.test:nobody@example.test>",
	"<" + out + "@example.test>", "<\"victim@outside.test@example.test\">", "<victim@[192.0.2.1]>", "<victim@[IPv6:2001:db8::1]>",
	"<victim@192.0.2.1>", "<victim@outside.test\x00@example.test>", "<victim@outside.test%00.example.test>", "<victim@outside.test#example.test>",
	"<victim@outside.test;example.test>", "<victim@outside.test,anna@example.test>", "<victim@outside.test> <anna@example.test>",
	"<anna@example.test><" + out + ">", "<victim@example.test.outside.test>", "<victim@notexample.test>", "<victim@.example.test>",
	"<victim@example.test@outside.test>", "<víctim@outside.test>", "<victim@öutside.test>", "<victim@outside。test>",
	"<victim@xn--utside-90a.test>", "<victim@example.test.>", "<victim@EXAMPLE.TEST.outside.test>", "victim@outside.test",
	"<\"victim\\@outside.test\"@example.test>", "<|/bin/sh@example.test>", "<${run{/bin/id}}@example.test>", "<:include:/etc/passwd@example.test>",
	"<`id`@example.test>", "<../../etc/passwd@example.test>", "<victim@localhost>", "<victim@>", "<@outside.test>", "<victim>",
	"<\"\"@outside.test>", "<victim@outside.test:25>", "<smtp:victim@outside.test>", "<victim@outside_test>", "<victim@-outside.test>",
	"<victim @outside.test>", "<victim@ outside.test>", "<(x)victim@outside.test>", "<victim@outside.test(x)>", "<<victim@outside.test>>",
	"<victim@outside.test\r>", "<victim\t@outside.test>", "<victim@outside.test> SIZE=1", "<victim@outside.test> X=anna@example.test", "<victim=outside.test@example.test>",
}

// TestRelay is the battery of tricks that made servers relay for strangers.
func TestRelay(t *testing.T) {
	froms := []string{"<>", "<spammer@outside.test>", "<anna@example.test>", "<root@[127.0.0.1]>"}
	if len(tricks) < 60 {
		t.Fatalf("only %d cases", len(tricks))
	}
	d := open(t, Options{Kind: MX, UnknownPerHour: -1, Neighbours: newNeighbours()})
	for _, from := range froms {
		for _, to := range tricks {
			c := d.ready()
			c.say("MAIL FROM:"+from, "RCPT TO:"+to, "DATA")
			c.want("250", "5", "502")
			c.nc.Close()
		}
	}
	c := d.ready() // with SMTPUTF8, too
	for _, to := range []string{"<víctim@outside.test>", "<victim@öutside.test>", "<victim@outside。test>", "<victim@exämple.test>"} {
		c.say("MAIL FROM:<a@b.test> SMTPUTF8", "RCPT TO:"+to, "DATA", "RSET")
		c.want("250", "550", "502", "250")
	}
	sub := open(t, Options{Kind: Submission})
	c = sub.ready()
	c.say("MAIL FROM:<anna@example.test>", "RCPT TO:<"+out+">")
	c.want("250")
	if got := c.want("550 5.7.1"); !strings.Contains(got, "not set up yet") {
		t.Errorf("outside recipients get %q", got)
	}
}

func TestBDAT(t *testing.T) {
	forDoors(t, func(t *testing.T, d *door) {
		begin := func() *client {
			c := d.ready()
			c.say("MAIL FROM:<anna@example.test> BODY=BINARYMIME", "RCPT TO:<anna@example.test>", "RCPT TO:<nobody@example.test>")
			c.want("250", "250", "550")
			return c
		}
		first, rest := letter[:50], letter[50:]

		c := begin() // chunks, an empty one among them, and one that ends between CR and LF
		cut := strings.Index(rest, "\n")
		c.send(fmt.Sprintf("BDAT 50\r\n%sBDAT 0\r\nBDAT %d\r\n%sBDAT %d LAST\r\n%sNOOP\r\n", first, cut, rest[:cut], len(rest)-cut, rest[cut:]))
		c.want("250 2.0.0 Continue", "250", "250", "250 2.0.0 OK: stored", "250")
		if got := d.dir.got(); len(got) != 1 || got[0].data != letter {
			t.Fatalf("stored %+v", got)
		}

		c = begin() // binary bodies may hold anything
		binary := letter + "\n\r.\r\n\x00\xff"
		c.send(fmt.Sprintf("BDAT %d\r\n%sBDAT 0 LAST\r\n", len(binary), binary))
		c.want("250", "250 2.0.0 OK")
		if got := d.dir.got(); got[len(got)-1].data != binary {
			t.Errorf("stored %q", got[len(got)-1].data)
		}
		c = begin() // but not their headers
		c.send("BDAT 9 LAST\r\nFrom: a\n\n")
		c.want("550 5.6.11")
		c.wantEnd()

		for _, between := range []string{"STARTTLS", "MAIL FROM:<anna@example.test>", "RCPT TO:<anna@example.test>", "DATA", "AUTH PLAIN x"} {
			c := begin()
			c.send("BDAT 5\r\nFrom:")
			c.want("250")
			c.say(between)
			c.want("5") // 523 to AUTH where nobody signs in
		}
		for _, between := range []string{"RSET", "EHLO again.test"} {
			c := begin()
			c.send("BDAT 5\r\nFrom:" + between + "\r\nBDAT 4 LAST\r\nNOOPNOOP\r\n")
			c.want("250", "250", "502", "250")
			c.envelope() // nothing of it reaches the next message
			c.send(letter + ".\r\n")
			c.want("250")
			if got := d.dir.got(); got[len(got)-1].data != letter {
				t.Errorf("stored %q", got[len(got)-1].data)
			}
		}
		for size, want := range map[string]string{
			"2147483648": "552 5.3.4", "9223372036854775807": "552 5.3.4", "9223372036854775808": "501", "-1": "501", "+5": "501", "": "501", "5 LAST x": "501", "x": "501",
		} {
			c := begin()
			c.say("BDAT " + size)
			c.want(want)
			c.wantEnd()
		}
		c = d.ready()
		c.send("BDAT 10\r\nRSET\r\nRSETBDAT 99999999999\r\n")
		c.want("502", "552")
		c.wantEnd()
	})
}

// TestMemory checks that no announced size, endless line or large message is
// held in memory.
func TestMemory(t *testing.T) {
	d := open(t, Options{Kind: MX})
	c := d.ready()
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	c.say("MAIL FROM:<a@b.test>", "RCPT TO:<anna@example.test>")
	c.want("250", "250")
	c.say("BDAT 104857600") // refused, and read to the end
	chunk := make([]byte, 1<<20)
	for range 100 {
		c.nc.Write(chunk)
	}
	c.want("552 5.3.4")
	runtime.ReadMemStats(&after)
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 4<<20 {
		t.Errorf("%d bytes allocated", grown)
	}
}

// TestInjection puts commands in front of the TLS handshake, CVE-2011-0411.
func TestInjection(t *testing.T) {
	for _, o := range []Options{{Kind: MX}, {Kind: Submission}} {
		d := open(t, o)
		c := d.dial()
		c.say("EHLO x")
		c.want("250")
		c.say("STARTTLS", "EHLO injected", "MAIL FROM:<evil@example.test>", "RCPT TO:<anna@example.test>")
		c.want("554 5.5.1")
		c.wantEnd()

		c = d.dial() // state from before does not count after
		c.say("EHLO x", "NOOP")
		c.want("250", "250")
		if o.Kind == MX {
			c.say("MAIL FROM:<evil@example.test>")
			c.want("250")
		}
		c.say("STARTTLS")
		c.want("220")
		c.nc = tls.Client(c.nc, clientTLS)
		c.r.Reset(c.nc)
		c.say("RCPT TO:<anna@example.test>", "MAIL FROM:<>", "AUTH PLAIN x", "STARTTLS")
		c.want("502", "502", "502", "503")
	}
}

func TestPregreet(t *testing.T) {
	d := newDoor(t, Options{Kind: MX})
	l := newPipeListener()
	d.serve(l)
	if nc := l.dial(); pending(nc) {
		t.Error("a pipe is no socket")
	} else {
		nc.Close()
	}
	s, _ := quiet(MX)
	here, there := socketPair(t)
	here.Write([]byte("EHLO spammer\r\n"))
	if !pending(there) {
		t.Fatal("pending does not see what is there")
	}
	go s.serve(t.Context(), newConn(s, there))
	c := &client{t: t, nc: here}
	c.r = newReader(here)
	c.want("554 5.5.1")
	c.wantEnd()
}

// TestPregreetBehindListen looks through the wrapper that counts connections.
func TestPregreetBehindListen(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	s, _ := quiet(MX)
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	queue := listen.Wrap(l, listen.Door{Name: "smtp"}, s.log)
	here, err := net.Dial("tcp", l.Addr().String())
	must(t, err)
	defer here.Close()
	here.Write([]byte("EHLO spammer\r\n")) // before anybody accepts
	go s.Serve(ctx, queue)
	c := &client{t: t, nc: here, r: newReader(here)}
	c.want("554 5.5.1")
	c.wantEnd()
}

func TestFloods(t *testing.T) {
	d := open(t, Options{Kind: MX, UnknownPerHour: 5})
	c := d.ready()
	for range 4 { // go-smtp's own patience with what it does not understand
		c.say("XYZZY")
		c.want("50")
	}
	c.want("500 5.5.1 Too many errors")
	c.wantEnd()

	c = d.ready()
	c.say("MAIL FROM:<>")
	c.want("250")
	for range maxErrors {
		c.say("RCPT TO:<full@example.test>")
		c.want("452")
	}
	c.say("RCPT TO:<full@example.test>")
	c.want("421 4.7.0")
	c.wantEnd()

	c = d.ready()
	for range maxJunk - 1 { // EHLO was one
		c.say("NOOP")
		c.want("250")
	}
	c.say("NOOP")
	c.want("421 4.7.0")
	c.wantEnd()

	c = d.ready() // recipients are no junk
	c.say("MAIL FROM:<>")
	c.want("250")
	for range 100 {
		c.say("RCPT TO:<anna@example.test>")
		c.want("250")
	}
	for range maxJunk { // nor are chunks
		c.say(fmt.Sprintf("BDAT %d\r\n%s", 600, strings.Repeat("x", 598)))
		c.want("250")
	}

	c = d.ready() // mail keeps the connection young
	for range maxJunk {
		c.envelope()
		c.send(".\r\n")
		c.want("250")
	}

	for i := range 10 {
		c := d.ready()
		c.say("MAIL FROM:<>", "RCPT TO:<anna@example.test>", "RCPT TO:<nobody@example.test>")
		c.want("250")
		if i < 5 {
			c.want("250", "550 5.1.1")
			continue
		}
		c.want("421 4.7.1") // to anna too: it would tell that she exists
		c.wantEnd()
	}
	if s := d.s.Stats(); s.Unknown != 5 {
		t.Errorf("stats %+v", s)
	}

	c = d.ready()
	c.send("NOOP\n")
	c.want("500 5.5.2")
	c.send("NOOP\r\r\n")
	c.want("500 5.5.2")
	c.say("MAIL FROM:<a\rRCPT@b.test>")
	c.want("500 5.5.2")
	c.say("NOOP \x00")
	c.want("500 5.5.2")
}
