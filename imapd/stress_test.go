package imapd

import (
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

var (
	stressTime = flag.Duration("stress", 3*time.Second, "how long TestStress works")
	stressSeed = flag.Uint64("stress.seed", 0, "what TestStress begins with; 0 is the time")
)

const (
	stressSessions = 10
	stressCommands = 25 // of each session, between two looks at all
)

// stressBoxes are where the sessions work.
var stressBoxes = []string{"INBOX", "Archive", "Junk"}

// Ten sessions do random things to three mailboxes. Each follows what the
// server tells it, as a client does; what they did is kept in a model. When all
// rest, what each has followed, what the server has and the model must be the
// same.
func TestStress(t *testing.T) {
	seed := *stressSeed
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("-stress.seed=%d", seed)
	h := newHouse(t)
	m := &stressModel{boxes: make(map[string]map[uint32]*stressMessage), gone: make(map[string]bool)}
	for _, box := range stressBoxes {
		m.boxes[box] = make(map[uint32]*stressMessage)
	}
	var all []*stressed
	for i := range stressSessions {
		all = append(all, newStressed(h, m, i, seed))
	}
	for begun := time.Now(); time.Since(begun) < *stressTime && !t.Failed(); {
		var wg sync.WaitGroup
		for _, s := range all {
			wg.Go(s.work)
		}
		wg.Wait()
		for _, s := range all {
			if s.err == nil {
				s.rest()
			}
			if s.err != nil {
				t.Errorf("session %d: %v\n%s", s.n, s.err, strings.Join(s.said, "\n"))
			}
		}
		if !t.Failed() {
			m.check(h)
		}
	}
}

// A stressMessage is a message as those who changed it know it.
type stressMessage struct {
	id    string
	words map[int]bool // by session: whether it has its keyword; nobody else touches that
}

type stressModel struct {
	mu    sync.Mutex
	ids   int
	boxes map[string]map[uint32]*stressMessage
	gone  map[string]bool // "mailbox uid"
}

func goneKey(box string, uid uint32) string { return fmt.Sprint(box, " ", uid) }

// check compares the model with what a client finds who has never been there.
func (m *stressModel) check(h *house) {
	h.t.Helper()
	c := h.login()
	defer c.c.Close()
	for _, box := range stressBoxes {
		c.ok("EXAMINE " + box)
		found := make(map[uint32]bool)
		for _, r := range c.ok("FETCH 1:* (UID FLAGS BODY.PEEK[HEADER.FIELDS (X-Id)])") {
			_, uid, flags, _ := parseFetch(r)
			want := m.boxes[box][uid]
			found[uid] = true
			if want == nil {
				h.t.Errorf("%s has message %d, which should be gone", box, uid)
				continue
			}
			if !strings.Contains(r, "X-Id: "+want.id+"\r\n") {
				h.t.Errorf("%s: message %d should be %s: %q", box, uid, want.id, r)
			}
			for n, has := range want.words {
				if slices.Contains(flags, word(n)) != has {
					h.t.Errorf("%s: message %d: session %d left its keyword %v; flags %v", box, uid, n, has, flags)
				}
			}
		}
		for uid := range m.boxes[box] {
			if !found[uid] {
				h.t.Errorf("%s: message %d is not there", box, uid)
			}
		}
	}
}

func word(session int) string { return fmt.Sprintf("$w%d", session) }

// A stressed is a client with all that it was told.
type stressed struct {
	h    *house
	m    *stressModel
	n    int
	r    *rand.Rand
	c    *client
	tag  int
	err  error
	said []string // the last lines, for who has to find out

	qresync bool
	box     string            // selected, "" if none
	uids    []uint32          // by number; 0 if not told yet
	flags   map[uint32]string // by UID, as told
	command string            // that runs

	cached  string // a mailbox that was left with its state
	valid   string // its UIDVALIDITY
	modSeq  uint64
	cacheOf map[uint32]string

	before *rested // of the last rest
}

// A rested is what a client kept when all rested.
type rested struct {
	box, valid string
	modSeq     uint64
	flags      map[uint32]string
}

func newStressed(h *house, m *stressModel, n int, seed uint64) *stressed {
	s := &stressed{h: h, m: m, n: n, r: rand.New(rand.NewPCG(seed, uint64(n))), c: h.login()}
	s.c.c.SetDeadline(time.Now().Add(*stressTime + time.Minute))
	if s.qresync = n%2 == 0; s.qresync {
		s.run("ENABLE QRESYNC")
	} else if n%3 == 0 {
		s.run("ENABLE CONDSTORE")
	}
	s.choose()
	return s
}

var (
	numberedLine = regexp.MustCompile(`^\* (\d+) (EXISTS|EXPUNGE|FETCH)`)
	fetchUID     = regexp.MustCompile(`[ (]UID (\d+)`)
	fetchFlags   = regexp.MustCompile(`FLAGS \(([^)]*)\)`)
	fetchModSeq  = regexp.MustCompile(`MODSEQ \((\d+)\)`)
	codeModSeq   = regexp.MustCompile(`\[HIGHESTMODSEQ (\d+)\]`)
	codeValid    = regexp.MustCompile(`\[UIDVALIDITY (\d+)\]`)
	codeAppend   = regexp.MustCompile(`\[APPENDUID \d+ (\d+)\]`)
	codeCopy     = regexp.MustCompile(`\[COPYUID \d+ ([\d:,]+) ([\d:,]+)\]`)
)

func parseFetch(line string) (num int, uid uint32, flags []string, modSeq uint64) {
	if m := numberedLine.FindStringSubmatch(line); m != nil {
		num, _ = strconv.Atoi(m[1])
	}
	if m := fetchUID.FindStringSubmatch(line); m != nil {
		n, _ := strconv.ParseUint(m[1], 10, 32)
		uid = uint32(n)
	}
	if m := fetchFlags.FindStringSubmatch(line); m != nil {
		flags = strings.Fields(m[1])
		slices.Sort(flags)
	}
	if m := fetchModSeq.FindStringSubmatch(line); m != nil {
		modSeq, _ = strconv.ParseUint(m[1], 10, 64)
	}
	return num, uid, flags, modSeq
}

// parseSet lists the numbers of a set.
func parseSet(set string) (list []uint32) {
	for _, r := range strings.Split(set, ",") {
		a, b, ok := strings.Cut(r, ":")
		lo, _ := strconv.ParseUint(a, 10, 32)
		hi := lo
		if ok {
			hi, _ = strconv.ParseUint(b, 10, 32)
		}
		for n := lo; n <= hi; n++ {
			list = append(list, uint32(n))
		}
	}
	return list
}

func (s *stressed) fail(format string, args ...any) {
	if s.err == nil {
		s.err = fmt.Errorf("%s: "+format, append([]any{s.command}, args...)...)
	}
}

// run runs a command and takes up what it tells. It returns the tagged response.
func (s *stressed) run(command string) (status string, untagged []string) {
	if s.err != nil {
		return "", nil
	}
	s.tag++
	s.command = command
	tag := fmt.Sprintf("s%d", s.tag)
	s.say("C: " + tag + " " + command)
	if _, err := s.c.c.Write([]byte(tag + " " + command + "\r\n")); err != nil {
		s.fail("%v", err)
	}
	for s.err == nil {
		line := s.line()
		if rest, ok := strings.CutPrefix(line, tag+" "); ok {
			if strings.HasPrefix(rest, "BAD") {
				s.fail("%s", rest)
			}
			return rest, untagged
		}
		untagged = append(untagged, line)
		s.heard(line)
	}
	return "", nil
}

func (s *stressed) line() string {
	line, err := s.c.read()
	if err != nil {
		s.fail("%v", err)
	}
	s.say("S: " + line)
	return line
}

func (s *stressed) say(line string) {
	if s.said = append(s.said, fmt.Sprintf("%.300q", line)); len(s.said) > 60 {
		s.said = s.said[1:]
	}
}

// heard takes up an untagged response, as a client must.
func (s *stressed) heard(line string) {
	if rest, ok := strings.CutPrefix(line, "* VANISHED "); ok {
		set, earlier := strings.CutPrefix(rest, "(EARLIER) ")
		for _, uid := range parseSet(set) {
			s.vanished(uid, earlier)
		}
		return
	}
	if m := codeModSeq.FindStringSubmatch(line); m != nil {
		s.modSeq, _ = strconv.ParseUint(m[1], 10, 64)
	}
	if m := codeValid.FindStringSubmatch(line); m != nil {
		s.valid = m[1]
	}
	m := numberedLine.FindStringSubmatch(line)
	if m == nil {
		return
	}
	n, _ := strconv.Atoi(m[1])
	switch m[2] {
	case "EXISTS":
		if n < len(s.uids) {
			s.fail("EXISTS %d after %d", n, len(s.uids))
		}
		s.uids = append(s.uids, make([]uint32, max(n-len(s.uids), 0))...)
	case "EXPUNGE":
		switch verb, _, _ := strings.Cut(s.command, " "); {
		case s.qresync:
			s.fail("EXPUNGE where VANISHED was asked for")
		case verb == "FETCH" || verb == "STORE" || verb == "SEARCH":
			s.fail("EXPUNGE while numbers are in use")
		case n < 1 || n > len(s.uids):
			s.fail("EXPUNGE %d of %d", n, len(s.uids))
		default:
			delete(s.flags, s.uids[n-1])
			s.uids = slices.Delete(s.uids, n-1, n)
		}
	case "FETCH":
		s.fetched(line)
	}
}

func (s *stressed) vanished(uid uint32, earlier bool) {
	i := slices.Index(s.uids, uid)
	if earlier {
		delete(s.cacheOf, uid)
		if i >= 0 {
			s.fail("VANISHED (EARLIER) %d, which is there", uid)
		}
		return
	}
	if i < 0 && !slices.Contains(s.uids, 0) {
		s.fail("VANISHED %d, which never was there", uid)
	}
	if i < 0 { // one that we were told of by EXISTS only: the numbers say which it is
		s.uids = slices.Delete(s.uids, len(s.uids)-1, len(s.uids))
		for j := len(s.uids) - 1; j >= 0 && (s.uids[j] == 0 || s.uids[j] > uid); j-- {
			s.uids[j] = 0
		}
	} else {
		s.uids = slices.Delete(s.uids, i, i+1)
	}
	delete(s.flags, uid)
}

func (s *stressed) fetched(line string) {
	n, uid, flags, modSeq := parseFetch(line)
	if n < 1 || n > len(s.uids) {
		s.fail("FETCH %d of %d", n, len(s.uids))
		return
	}
	if uid == 0 {
		uid = s.uids[n-1]
	}
	if known := s.uids[n-1]; known != 0 && known != uid {
		s.fail("message %d is %d, and was %d", n, uid, known)
	}
	s.uids[n-1] = uid
	if fetchFlags.MatchString(line) && uid != 0 {
		s.flags[uid] = strings.Join(flags, " ")
		if s.cacheOf != nil {
			s.cacheOf[uid] = s.flags[uid]
		}
	}
	s.modSeq = max(s.modSeq, modSeq)
}

// choose selects a mailbox: with what is known of it, if it was left before.
func (s *stressed) choose() {
	box := stressBoxes[s.r.IntN(len(stressBoxes))]
	s.box, s.uids, s.flags = box, nil, make(map[uint32]string)
	if !s.qresync || s.cached != box {
		s.cached, s.cacheOf = "", nil
		s.run("SELECT " + box)
		s.run("UID FETCH 1:* (FLAGS)")
		return
	}
	s.run(fmt.Sprintf("SELECT %s (QRESYNC (%s %d))", box, s.valid, s.modSeq))
	for uid, flags := range s.cacheOf {
		s.flags[uid] = flags
	}
	cache := s.cacheOf
	s.cached, s.cacheOf = "", nil
	got := make(map[uint32]bool)
	_, all := s.run("UID SEARCH ALL")
	for _, r := range all {
		for _, f := range strings.Fields(strings.TrimPrefix(r, "* SEARCH")) {
			n, _ := strconv.ParseUint(f, 10, 32)
			got[uint32(n)] = true
		}
	}
	// Another session may go on meanwhile; what is in the mailbox for sure must
	// be known by the resync, and all that was not said to be gone be there or
	// have gone since.
	for uid := range cache {
		if !got[uid] && !slices.Contains(s.uids, uid) {
			delete(s.flags, uid)
		}
	}
	s.run("UID FETCH 1:* (UID)")
}

// leave leaves the mailbox, and keeps what is known of it.
func (s *stressed) leave() {
	if s.qresync {
		s.run("NOOP")
		s.run("UID FETCH 1:* (FLAGS MODSEQ)")
		s.run("NOOP")
		s.cached, s.cacheOf = s.box, maps.Clone(s.flags)
	}
	s.run("UNSELECT")
	s.box, s.uids, s.flags = "", nil, make(map[uint32]string)
}

// some is a set of messages, by number.
func (s *stressed) some() string {
	lo := 1 + s.r.IntN(max(len(s.uids), 1))
	return fmt.Sprintf("%d:%d", lo, lo+s.r.IntN(4))
}

// work does random things.
func (s *stressed) work() {
	for range stressCommands {
		if s.err != nil {
			return
		}
		if s.box == "" {
			s.choose()
		}
		switch s.r.IntN(14) {
		case 0, 1, 2:
			s.append()
		case 3:
			s.copy("COPY")
		case 4:
			s.copy("MOVE")
		case 5, 6:
			s.mark()
		case 7:
			set := s.some()
			touched := s.numbered(set)
			s.run(fmt.Sprintf(`STORE %s +FLAGS.SILENT (\Deleted)`, set))
			s.silently(touched, `\Deleted`, true)
		case 8:
			s.expunge()
		case 9:
			s.run("FETCH " + s.some() + " (UID FLAGS ENVELOPE BODYSTRUCTURE)")
		case 10:
			s.run(`SEARCH OR DELETED KEYWORD ` + word(s.n))
		case 11:
			s.idle()
		case 12:
			s.run("NOOP")
		case 13:
			s.leave()
		}
	}
}

func (s *stressed) append() {
	s.m.mu.Lock()
	s.m.ids++
	id := fmt.Sprintf("%d-%d", s.n, s.m.ids)
	s.m.mu.Unlock()
	box := stressBoxes[s.r.IntN(len(stressBoxes))]
	text := "From: a@example.test\r\nX-Id: " + id + "\r\nSubject: x\r\n\r\nbody\r\n"
	status, _ := s.run(fmt.Sprintf("APPEND %s (%s) {%d+}\r\n%s", box, word(s.n), len(text), text))
	m := codeAppend.FindStringSubmatch(status)
	if m == nil {
		s.fail("%s", status)
		return
	}
	words := make(map[int]bool)
	for n := range stressSessions {
		words[n] = n == s.n
	}
	s.m.add(box, parseSet(m[1])[0], &stressMessage{id, words})
}

// add notes a message. One whose owner has set its keyword already keeps that.
func (m *stressModel) add(box string, uid uint32, msg *stressMessage) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.gone[goneKey(box, uid)] {
		return
	}
	old := m.at(box, uid) // perhaps changed before its maker had said so
	old.id = msg.id
	for n, has := range msg.words {
		if _, known := old.words[n]; !known {
			old.words[n] = has
		}
	}
}

// at is a message of the model, which its maker may not have put there yet.
func (m *stressModel) at(box string, uid uint32) *stressMessage {
	msg := m.boxes[box][uid]
	if msg == nil {
		msg = &stressMessage{words: make(map[int]bool)}
		if !m.gone[goneKey(box, uid)] {
			m.boxes[box][uid] = msg
		}
	}
	return msg
}

// drop notes that a message is gone.
func (m *stressModel) drop(box string, uid uint32) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.boxes[box], uid)
	m.gone[goneKey(box, uid)] = true
}

// copy copies or moves messages. What others have set on them meanwhile is not
// known; our keyword is.
func (s *stressed) copy(verb string) {
	to := stressBoxes[s.r.IntN(len(stressBoxes))]
	if to == s.box || len(s.uids) == 0 {
		return
	}
	status, untagged := s.run(verb + " " + s.some() + " " + to)
	m := codeCopy.FindStringSubmatch(strings.Join(append(untagged, status), "\n"))
	if m == nil {
		return
	}
	from, dest := parseSet(m[1]), parseSet(m[2])
	for i, uid := range from {
		s.m.mu.Lock()
		old := s.m.at(s.box, uid)
		msg := &stressMessage{old.id, map[int]bool{}}
		if has, ok := old.words[s.n]; ok {
			msg.words[s.n] = has
		}
		s.m.mu.Unlock()
		if msg.id == "" { // its maker has not said yet which it is
			msg.id = s.idOf(to, dest[i])
		}
		s.m.add(to, dest[i], msg)
		if verb == "MOVE" {
			s.m.drop(s.box, uid)
		}
	}
}

// idOf asks the server for the name of a message that has just been made.
func (s *stressed) idOf(box string, uid uint32) string {
	c := s.h.login()
	defer c.c.Close()
	c.ok("EXAMINE " + box)
	for _, r := range c.ok(fmt.Sprintf("UID FETCH %d (BODY.PEEK[HEADER.FIELDS (X-Id)])", uid)) {
		_, rest, _ := strings.Cut(r, "X-Id: ")
		id, _, _ := strings.Cut(rest, "\r\n")
		return id
	}
	return "gone"
}

// mark sets or takes off our keyword.
func (s *stressed) mark() {
	s.learn()
	sign := []string{"+", "-"}[s.r.IntN(2)]
	silent := []string{"", ".SILENT"}[s.r.IntN(2)]
	set := s.some()
	touched := s.numbered(set)
	status, _ := s.run(fmt.Sprintf("STORE %s %sFLAGS%s (%s)", set, sign, silent, word(s.n)))
	if !strings.HasPrefix(status, "OK") {
		return
	}
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	for _, uid := range touched {
		s.m.at(s.box, uid).words[s.n] = sign == "+"
	}
	if silent != "" {
		s.silently(touched, word(s.n), sign == "+")
	}
}

// learn finds out the UID of each message that we were told of.
func (s *stressed) learn() {
	for s.err == nil && slices.Contains(s.uids, 0) {
		s.run("UID FETCH 1:* (UID)")
	}
}

// numbered are the UIDs of a set of numbers.
func (s *stressed) numbered(set string) []uint32 {
	lo, hi := 0, 0
	fmt.Sscanf(set, "%d:%d", &lo, &hi)
	return slices.Clone(s.uids[min(lo-1, len(s.uids)):min(hi, len(s.uids))])
}

// silently takes up what we have done and were not told: it is as we have made
// it.
func (s *stressed) silently(uids []uint32, flag string, on bool) {
	for _, uid := range uids {
		had, known := s.flags[uid]
		if !known {
			continue
		}
		flags := slices.DeleteFunc(strings.Fields(had), func(f string) bool { return f == flag })
		if on {
			flags = append(flags, flag)
		}
		slices.Sort(flags)
		s.flags[uid] = strings.Join(flags, " ")
	}
}

func (s *stressed) expunge() {
	s.learn()
	before := slices.Clone(s.uids)
	status, _ := s.run("EXPUNGE")
	if !strings.HasPrefix(status, "OK") {
		return
	}
	// Others expunge, too; who has done it first is for the store to know. All
	// that is gone is gone in the model.
	for _, uid := range before {
		if !slices.Contains(s.uids, uid) {
			s.m.drop(s.box, uid)
		}
	}
}

func (s *stressed) idle() {
	s.tag++
	s.command = "IDLE"
	tag := fmt.Sprintf("s%d", s.tag)
	s.say("C: " + tag + " IDLE")
	fmt.Fprintf(s.c.c, "%s IDLE\r\n", tag)
	if line := s.line(); !strings.HasPrefix(line, "+") {
		s.fail("%s", line)
	}
	time.Sleep(time.Duration(s.r.IntN(5)) * time.Millisecond)
	s.say("C: DONE")
	fmt.Fprint(s.c.c, "DONE\r\n")
	for s.err == nil {
		line := s.line()
		if strings.HasPrefix(line, tag+" OK") {
			return
		}
		s.heard(line)
	}
}

// rest looks whether what was told is what is there, when nobody works.
func (s *stressed) rest() {
	if s.before != nil {
		s.resync()
	}
	if s.box == "" {
		s.choose()
	}
	s.run("NOOP")
	told, numbers := maps.Clone(s.flags), slices.Clone(s.uids)
	_, all := s.run("FETCH 1:* (UID FLAGS)")
	var uids []uint32
	for _, r := range all {
		_, uid, flags, _ := parseFetch(r)
		uids = append(uids, uid)
		if had, known := told[uid]; known && had != strings.Join(flags, " ") {
			s.fail("message %d has %v, and we were told %s", uid, flags, had)
		}
	}
	if len(uids) != len(numbers) {
		s.fail("there are %d messages, and we were told of %d", len(uids), len(numbers))
		return
	}
	for i, uid := range numbers {
		if uid != 0 && uid != uids[i] {
			s.fail("message %d is %d, and we were told %d", i+1, uids[i], uid)
		}
	}
	if s.qresync {
		box := s.box
		s.run("UNSELECT")
		s.box, s.uids, s.flags = box, nil, make(map[uint32]string)
		s.run("SELECT " + box)
		at := s.modSeq // the last that is said is HIGHESTMODSEQ
		s.run("UID FETCH 1:* (FLAGS)")
		s.before = &rested{box, s.valid, at, maps.Clone(s.flags)}
	}
}

// resync returns to a mailbox after others have worked there: what was kept of
// it, with what is told now, is what is there.
func (s *stressed) resync() {
	old := s.before
	if s.box != "" {
		s.run("UNSELECT")
	}
	s.box, s.uids, s.flags = old.box, nil, make(map[uint32]string)
	s.cached, s.cacheOf = "", maps.Clone(old.flags)
	s.run(fmt.Sprintf("SELECT %s (QRESYNC (%s %d))", old.box, old.valid, old.modSeq))
	kept := s.cacheOf
	s.cacheOf = nil
	_, all := s.run("UID FETCH 1:* (FLAGS)")
	there := make(map[uint32]string)
	for _, r := range all {
		_, uid, flags, _ := parseFetch(r)
		there[uid] = strings.Join(flags, " ")
	}
	if !maps.Equal(kept, there) {
		s.fail("after a resync from %d we know %v, and there is %v", old.modSeq, kept, there)
	}
}
