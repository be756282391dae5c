package caps

import (
	"strconv"
	"strings"

	"homemail/mail"
)

// A Notice is what the owner is told of a pause.
type Notice struct {
	Pause
	Address  mail.Path // the account's
	Name     string    // its person's
	Language string    // and their language
}

// words are what a Notice says in one language. A {word} stands for its value.
type words struct {
	subject string
	was     map[Cap]string
	body    string
	time    string // layout of a time
}

var english = words{
	subject: "Sending is paused for {address}",
	was: map[Cap]string{
		Hour:   "With its last message {address} would have written to {count} recipients outside within an hour. {limit} are allowed.",
		Day:    "With its last message {address} would have written to {count} recipients outside within a day. {limit} are allowed.",
		Fresh:  "With its last message {address} would have written, within a day, to {count} recipients outside that it never wrote to before. {limit} are allowed.",
		ByHand: "Sending was paused for {address}.",
	},
	body: `What happened

{was} Its mail to the outside has therefore been paused since {time}.

What it means

Somebody may have stolen a password of this account to send spam with it. Or the person has only written to many people at once. Nothing is lost: that message and all later ones to the outside wait in the queue. Mail inside the house and mail that comes in go on as ever.

What to do

See what is waiting:

    homemail queue list

If the person wrote it, let sending go on; what waits then leaves:

    homemail sending resume {address}

If not, look which devices sign in, and take the stolen password back:

    homemail device list {address}
    homemail device revoke {address} DEVICE

Then remove from the queue what the person did not write, before you let sending go on:

    homemail queue remove ID
    homemail sending resume {address}
`,
	time: "Mon, 2 Jan 2006 15:04 -0700",
}

var japanese = words{
	subject: "{address} からの送信を一時停止しました",
	was: map[Cap]string{
		Hour:   "最後のメールで、{address} から外部への 1 時間の宛先が {count} 件になるところでした(上限は {limit} 件です)。",
		Day:    "最後のメールで、{address} から外部への 1 日の宛先が {count} 件になるところでした(上限は {limit} 件です)。",
		Fresh:  "最後のメールで、{address} がこれまで一度も送ったことのない外部の宛先が 1 日で {count} 件になるところでした(上限は {limit} 件です)。",
		ByHand: "{address} からの送信が一時停止されました。",
	},
	body: `何が起きたか

{was}そのため、{time} から外部への送信を一時停止しています。

どういうことか

このアカウントのパスワードが盗まれ、迷惑メールの送信に使われている恐れがあります。ご本人が一度に大勢の方へ送っただけかもしれません。メールは失われません。このメールと、その後の外部宛てのメールは、すべて送信待ちとして保管しています。家の中でのやり取りと受信は、いつもどおり使えます。

どうすればよいか

送信待ちのメールを確認してください。

    homemail queue list

ご本人が書いたものであれば、送信を再開してください。待っているメールも送られます。

    homemail sending resume {address}

心当たりがなければ、サインインしている機器を確認し、盗まれたパスワードを無効にしてください。

    homemail device list {address}
    homemail device revoke {address} DEVICE

その後、本人が書いていないメールを送信待ちから取り除いてから、送信を再開してください。

    homemail queue remove ID
    homemail sending resume {address}
`,
	time: "2006年1月2日 15:04",
}

// Words returns the subject and the text of a mail to the owner, in a language
// such as ja or en-GB; in English if we do not speak it. Lines end in LF.
func (n Notice) Words(language string) (subject, body string) {
	w := &english
	primary, _, _ := strings.Cut(strings.ReplaceAll(language, "_", "-"), "-")
	if strings.EqualFold(primary, "ja") {
		w = &japanese
	}
	was := w.was[n.Cap]
	if was == "" {
		was = w.was[ByHand]
	}
	fill := strings.NewReplacer("{address}", string(n.Address), "{count}", strconv.Itoa(n.Count),
		"{limit}", strconv.Itoa(n.Limit), "{time}", n.Since.Local().Format(w.time))
	return fill.Replace(w.subject), fill.Replace(strings.Replace(w.body, "{was}", was, 1))
}
