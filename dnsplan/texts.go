package dnsplan

// purposes say what the records of a kind are for, where a record says nothing
// of its own.
var purposes = map[Kind]Text{
	KindHost:    {"Tells others where your box is.", "あなたの箱がインターネットのどこにあるかを知らせます。"},
	KindMX:      {"Tells others to bring mail for your domain to your box.", "ドメイン宛てのメールを、あなたの箱に届けてもらいます。"},
	KindSPF:     {"Says which servers send mail in your name.", "どのサーバーがあなたの名前でメールを送るかを知らせます。"},
	KindDKIM:    {"The key by which others check that your mail is from you and unchanged.", "メールが本物で、途中で書き換えられていないことを、受け取る側が確かめるための鍵です。"},
	KindDMARC:   {"Says what to do with mail that only pretends to be yours, and has reports sent to you.", "なりすましメールの扱いを決め、その報告を受け取ります。"},
	KindReports: {"Allows reports about this domain to be sent to your other one.", "このドメインについての報告を、別のドメインで受け取れるようにします。"},
	KindSTS:     {"Says that mail to you must be encrypted on its way.", "あなた宛てのメールは必ず暗号化して送るように知らせます。"},
	KindTLSRPT:  {"Has other servers tell you when encryption to you fails.", "暗号化に失敗したとき、ほかのサーバーから報告を受け取ります。"},
	KindSRV:     {"Lets mail programs find your box by themselves.", "メールソフトが、あなたの箱を自動で見つけられます。"},
	KindAlias:   {"Another name of your box.", "あなたの箱の別名です。"},
	KindCAA:     {"Lets nobody else get a certificate for your box.", "ほかの人が、あなたの箱の証明書を取れないようにします。"},
	KindTLSA:    {"Lets servers that check DNSSEC recognise your box by its key.", "DNSSEC を確かめるサーバーが、鍵であなたの箱を見分けられます。"},
	KindExtra:   {"The server that sends your mail asks for this.", "送信を頼んでいるサーバーが必要としています。"},
}

// Text is a state in a word or two.
func (s State) Text() Text {
	switch s {
	case NotSeen:
		return Text{"not seen yet", "未確認"}
	case Correct:
		return Text{"correct", "正しい"}
	case Differs:
		return Text{"differs", "内容が違う"}
	case Conflict:
		return Text{"conflict", "競合"}
	}
	return Text{"could not ask", "確認できない"}
}

// Text is a rank in a word.
func (r Rank) Text() Text {
	switch r {
	case Required:
		return Text{"required", "必須"}
	case Recommended:
		return Text{"recommended", "推奨"}
	}
	return Text{"optional", "任意"}
}
