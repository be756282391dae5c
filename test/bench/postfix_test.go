package bench

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-smtp"

	"homemail/test/need"
)

// A postfix is a Postfix as Debian has it, but for what holds mail and lets it
// out to the sink only.
type postfix struct {
	dir  string
	port int
}

const postfixMain = `compatibility_level = 3.6
queue_directory = %[1]s/queue
data_directory = %[1]s/data
myhostname = mail.house.test
mydestination =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
mynetworks = 127.0.0.0/8
alias_maps =
alias_database =
maillog_file = %[1]s/log
maillog_file_prefixes = %[1]s
smtp_dns_support_level = disabled
smtpd_peername_lookup = no
smtpd_client_connection_count_limit = 0
smtpd_client_restrictions = check_client_access static:HOLD
relayhost = [127.0.0.1]:%[2]d
`

const postfixMaster = `127.0.0.1:%d inet n - n - - smtpd
pickup    unix  n - n 60  1 pickup
cleanup   unix  n - n -   0 cleanup
qmgr      unix  n - n 300 1 qmgr
rewrite   unix  - - n -   - trivial-rewrite
bounce    unix  - - n -   0 bounce
defer     unix  - - n -   0 bounce
trace     unix  - - n -   0 bounce
flush     unix  n - n 1000? 0 flush
proxymap  unix  - - n -   - proxymap
proxywrite unix - - n -   1 proxymap
smtp      unix  - - n -   - smtp
relay     unix  - - n -   - smtp
showq     unix  n - n -   - showq
error     unix  - - n -   - error
retry     unix  - - n -   - error
anvil     unix  - - n -   1 anvil
scache    unix  - - n -   1 scache
postlog   unix-dgram n - n - 1 postlogd
`

func newPostfix(b *testing.B, sink *sink) *postfix {
	need.Root(b)
	need.Tools(b, "postfix", "postsuper", "postqueue", "sh")
	p := &postfix{dir: b.TempDir(), port: freePort(b)}
	must(b, os.Mkdir(p.etc(), 0o755))
	must(b, os.WriteFile(filepath.Join(p.etc(), "main.cf"), fmt.Appendf(nil, postfixMain, p.dir, sink.port), 0o644))
	must(b, os.WriteFile(filepath.Join(p.etc(), "master.cf"), fmt.Appendf(nil, postfixMaster, p.port), 0o644))
	p.run(b, "sh", "-c", "cd "+p.dir+" && chmod 755 . .. && mkdir queue data && chown postfix data && { cp /etc/postfix/dynamicmaps.cf etc/ || true; }")
	p.run(b, "postfix", "-c", p.etc(), "start")
	b.Cleanup(func() { p.run(b, "postfix", "-c", p.etc(), "stop") })
	answers(b, p.port)
	return p
}

func (p *postfix) etc() string { return filepath.Join(p.dir, "etc") }

func (p *postfix) run(b *testing.B, words ...string) {
	b.Helper()
	if out, err := exec.Command(words[0], words[1:]...).CombinedOutput(); err != nil {
		b.Fatalf("%q: %v\n%s", words, err, out)
	}
}

func (p *postfix) name() string { return "postfix" }

func (p *postfix) pid() int {
	text, _ := os.ReadFile(filepath.Join(p.dir, "queue/pid/master.pid"))
	pid, _ := strconv.Atoi(strings.TrimSpace(string(text)))
	return pid
}

func (p *postfix) hold(*testing.B) {} // what comes in is held in any case

func (p *postfix) release(b *testing.B) {
	p.run(b, "postsuper", "-c", p.etc(), "-H", "ALL")
	p.run(b, "postqueue", "-c", p.etc(), "-f")
}

// settled waits until the queue is empty, or all of it held.
func (p *postfix) settled(b *testing.B) {
	for _, queue := range []string{"incoming", "active", "deferred"} {
		for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
			list, err := filepath.Glob(filepath.Join(p.dir, "queue", queue, "*"))
			must(b, err)
			deep, err := filepath.Glob(filepath.Join(p.dir, "queue", queue, "?", "*"))
			must(b, err)
			if len(list) <= 16 && len(deep) == 0 { // 16 are directories
				break
			}
			if time.Now().After(deadline) {
				b.Fatalf("postfix has %d messages in %s", len(deep), queue)
			}
		}
	}
	time.Sleep(time.Second)
}

func (p *postfix) sender(b *testing.B) session {
	c, err := smtp.Dial(fmt.Sprintf("127.0.0.1:%d", p.port))
	must(b, err)
	return client{c}
}
