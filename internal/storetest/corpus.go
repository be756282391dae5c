package storetest

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"math"
	"math/rand/v2"
	"mime/quotedprintable"
	"strings"
	"time"
)

// A Corpus makes messages as people get them: text in several languages,
// charsets and encodings, HTML beside it, attachments, answers. Message i is
// always the same.
type Corpus struct {
	// NoAttachments makes small messages, for measures that attachments have no
	// part in.
	NoAttachments bool
}

// Words that are in the text of each 100th message, and in the subject of each
// 1000th.
const (
	RareWord    = "wombat"
	RareSubject = "dirigible"
)

// Date is that of message i.
func (Corpus) Date(i int) time.Time {
	return time.Date(2021, 1, 1, 8, 0, 0, 0, time.UTC).Add(time.Duration(i) * 17 * time.Minute)
}

func (Corpus) id(i int) string { return fmt.Sprintf("<%d.%08x@mail.example>", i, uint32(i)*2654435761) }

// Message returns message i.
func (c Corpus) Message(i int) []byte {
	r := rand.New(rand.NewPCG(7, uint64(i)))
	m := &writer{r: r}
	m.header(c, i)
	text := m.text(i, int(min(max(math.Exp(7.6+0.9*r.NormFloat64()), 150), 48<<10)))
	attach := 0
	if !c.NoAttachments && r.IntN(4) == 0 {
		attach = int(min(math.Exp(10.8+1.1*r.NormFloat64()), 1<<20))
	}
	if attach == 0 {
		m.body(text)
		return m.b.Bytes()
	}
	m.f("Content-Type: multipart/mixed; boundary=\"=_mixed\"\r\n\r\n--=_mixed\r\n")
	m.body(text)
	m.f("\r\n--=_mixed\r\nContent-Type: application/pdf; name=\"file-%d.pdf\"\r\nContent-Disposition: attachment; filename=\"file-%d.pdf\"\r\nContent-Transfer-Encoding: base64\r\n\r\n", i, i)
	data := make([]byte, attach)
	for k := range data {
		data[k] = byte(r.Uint32())
	}
	m.base64(data)
	m.f("\r\n--=_mixed--\r\n")
	return m.b.Bytes()
}

type writer struct {
	r *rand.Rand
	b bytes.Buffer
}

func (m *writer) f(format string, args ...any) { fmt.Fprintf(&m.b, format, args...) }

func (m *writer) header(c Corpus, i int) {
	from := m.r.IntN(200)
	date := c.Date(i).Format(time.RFC1123Z)
	for hop := range 2 {
		m.f("Received: from out%d.org%d.example (out%d.org%d.example [192.0.2.%d])\r\n\tby in%d.example.net with ESMTPS id %08X; %s\r\n", hop, from%100, hop, from%100, m.r.IntN(250), hop, m.r.Uint32(), date)
	}
	names := [...]string{"Ada Example", "\"Grace, H.\"", "=?UTF-8?Q?J=C3=BCrgen_M=C3=BCller?=", "=?UTF-8?B?5bGx55Sw5aSq6YOO?=", "Billing"}
	m.f("Date: %s\r\nFrom: %s <sender%d@org%d.example>\r\nTo: Anna <anna@example.test>\r\n", date, names[from%len(names)], from, from%100)
	if m.r.IntN(3) == 0 {
		m.f("Cc: sender%d@org%d.example\r\n", m.r.IntN(200), m.r.IntN(100))
	}
	m.f("Message-ID: %s\r\n", c.id(i))
	subject := strings.Join(m.words(english, 3+m.r.IntN(5)), " ")
	if i%1000 == 500 {
		subject += " " + RareSubject
	}
	if i > 0 && m.r.IntN(2) == 0 {
		up := i - 1 - m.r.IntN(min(i, 30))
		m.f("In-Reply-To: %s\r\nReferences: %s\r\n", c.id(up), c.id(up))
		subject = "Re: " + subject
	}
	if m.r.IntN(8) == 0 {
		subject = "=?ISO-8859-1?Q?=DCberpr=FCfung?= " + subject
	}
	m.f("Subject: %s\r\nList-Id: <list%d.example>\r\nMIME-Version: 1.0\r\n", subject, m.r.IntN(20))
}

// words draws words as language has them: few often, many seldom.
func (m *writer) words(from []string, n int) []string {
	out := make([]string, n)
	for i := range out {
		x := m.r.Float64()
		out[i] = from[int(x*x*float64(len(from)))]
		if m.r.IntN(40) == 0 { // names and numbers
			out[i] = fmt.Sprintf("%s%d", out[i][:1], m.r.IntN(50000))
		}
	}
	return out
}

func (m *writer) text(i, size int) string {
	vocabulary := english
	switch m.r.IntN(10) {
	case 0:
		vocabulary = german
	case 1:
		vocabulary = japanese
	}
	var b strings.Builder
	for line := 0; b.Len() < size; {
		w := m.words(vocabulary, 1)[0]
		b.WriteString(w)
		if line += len(w) + 1; line > 66 {
			b.WriteString("\r\n")
			line = 0
		} else {
			b.WriteByte(' ')
		}
	}
	if i%100 == 50 {
		b.WriteString(" " + RareWord)
	}
	return b.String() + "\r\n"
}

// body writes text plain, or plain and as HTML.
func (m *writer) body(text string) {
	if m.r.IntN(2) == 0 {
		m.plain(text)
		return
	}
	m.f("Content-Type: multipart/alternative; boundary=\"=_alternative\"\r\n\r\n--=_alternative\r\n")
	m.plain(text)
	m.f("\r\n--=_alternative\r\nContent-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n")
	m.quoted("<html><body><p style=\"font-family: sans-serif\">" + text + "</p></body></html>\r\n")
	m.f("\r\n--=_alternative--\r\n")
}

func (m *writer) plain(text string) {
	switch m.r.IntN(3) {
	case 0:
		m.f("Content-Type: text/plain; charset=utf-8; format=flowed\r\nContent-Transfer-Encoding: base64\r\n\r\n")
		m.base64([]byte(text))
	case 1:
		m.f("Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n")
		m.quoted(text)
	default:
		m.f("Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n%s", text)
	}
}

func (m *writer) quoted(text string) {
	w := quotedprintable.NewWriter(&m.b)
	w.Write([]byte(text))
	w.Close()
}

func (m *writer) base64(data []byte) {
	for text := base64.StdEncoding.EncodeToString(data); len(text) > 0; {
		n := min(76, len(text))
		m.b.WriteString(text[:n] + "\r\n")
		text = text[n:]
	}
}

var (
	english = strings.Fields(`the of and to in a is that for it was on are as with be this have from or had by not but some what there we can out
 other were all your when up use word how said an each she which do their time if will way about many then them would write like so these her long
 make thing see him two has look more day could go come did my sound no most number who over know water than call first people may down side been
 now find any new work part take get place made live where after back little only round man year came show every good me give our under name very
 through just form much great think say help low line before turn cause same mean differ move right boy old too does tell sentence set three want
 air well also play small end put home read hand port large spell add even land here must big high such follow act why ask men change went light
 kind off need house picture try us again animal point mother world near build self earth father head stand own page should country found answer
 school grow study still learn plant cover food sun four thought let keep eye never last door between city tree cross since hard start might story
 saw far sea draw left late run while press close night real life few stop open seem together next white children begin got walk example ease paper
 often always music those both mark book letter until mile river car feet care second group carry took rain eat room friend began idea fish mountain
 invoice meeting contract schedule deadline proposal attached regards budget report delivery quarter insurance kindergarten appointment receipt`)
	german = strings.Fields(`der die und in den von zu das mit sich des auf für ist im dem nicht ein eine als auch es an werden aus er hat dass sie nach
 wird bei einer um am sind noch wie einem über einen so zum war haben nur oder aber vor zur bis mehr durch man sein wurde sei Prüfung Grüße Straße
 Größe möglich schön müssen können Änderung übermorgen Rechnung Besprechung Vertrag Angebot Lieferung Anhang Termin freundlichen Elternabend`)
	japanese = strings.Fields(`会議のお知らせ よろしくお願いいたします 明日 午後三時から 東京都 ご確認ください 請求書 添付いたします 子供 学校 運動会
 お世話になっております 山田太郎 田中様 資料を送ります 予定 変更になりました 電話番号 ありがとうございます 領収書 週末 家族旅行 写真`)
)
