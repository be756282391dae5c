package web

// words are the texts of the pages in one language.
type words struct {
	Lang, Other, OtherName string // codes of this language and the other one, and how that one calls itself

	Title, Lead, Address, Example, Show string // of the form
	NotOurs, Nothing                    string // why there are no settings

	For, Back, Password string

	Apple, AppleLead, Install, AppleThen, Camera, QR string
	Thunderbird, ThunderbirdLead                     string
	Others, OthersLead, In, InPOP, Out               string
	Server, Port, Security, User                     string

	House, HouseLead, ToSetup, NoDomain, Unsure string // of the page for the house's own network
}

var english = words{
	Lang: "en", Other: "ja", OtherName: "日本語",

	Title: "Set up your mail", Lead: "Type your mail address, and see how to set up your phone, tablet or computer.",
	Address: "Your mail address", Example: "name@", Show: "Show the settings",
	NotOurs: "This address is of no domain that has its mail here. Look at what is after the @.",
	Nothing: "The way in for mail programs is closed just now. Whoever runs this server can open it.",

	For: "Settings for", Back: "Another address",
	Password: "You need a password for each device. Whoever runs this server makes them for you.",

	Apple: "iPhone, iPad and Mac", AppleLead: "Download the profile with all settings. You are asked for the password only.",
	Install: "Download the profile", AppleThen: "Then open Settings and tap “Profile Downloaded”. On a Mac, open the file.",
	Camera: "Reading this on another screen? Point the camera of your phone here.", QR: "QR code that leads to this page",
	Thunderbird: "Thunderbird", ThunderbirdLead: "Type your name, this address and the password: it finds everything by itself, on computers and on Android.",
	Others: "Other programs", OthersLead: "Outlook, Gmail on Android, and whatever asks for servers: choose to set up by hand, and type this in.",
	In: "Incoming mail, IMAP", InPOP: "Incoming mail, POP3", Out: "Outgoing mail, SMTP",
	Server: "Server", Port: "Port", Security: "Security", User: "User name",

	House: "The mail server of this house", HouseLead: "This box keeps your mail at home. How to set up phones and computers for it is on its own page:",
	ToSetup: "Set up your mail", NoDomain: "It has no domain yet, so that there is nothing to set up. Whoever runs it begins with:",
	Unsure: "If your browser warns that it does not know the certificate, the server is still waiting for one. Ask whoever runs it.",
}

var japanese = words{
	Lang: "ja", Other: "en", OtherName: "English",

	Title: "メールの設定", Lead: "メールアドレスを入力すると、スマートフォン、タブレット、パソコンの設定方法を表示します。",
	Address: "メールアドレス", Example: "name@", Show: "設定を表示",
	NotOurs: "このサーバーで扱っているドメインのアドレスではありません。@ の後ろを確かめてください。",
	Nothing: "メールソフト用の入口がいま閉じています。サーバーの管理者に知らせてください。",

	For: "設定するアドレス", Back: "別のアドレス",
	Password: "パスワードは機器ごとに必要です。サーバーの管理者に作ってもらってください。",

	Apple: "iPhone・iPad・Mac", AppleLead: "設定がすべて入ったプロファイルをダウンロードします。入力するのはパスワードだけです。",
	Install: "プロファイルをダウンロード", AppleThen: "続いて「設定」を開き、「プロファイルがダウンロードされました」をタップします。Mac ではファイルを開きます。",
	Camera: "別の画面で見ているときは、お使いのスマートフォンのカメラをここに向けてください。", QR: "このページを開く QR コード",
	Thunderbird: "Thunderbird", ThunderbirdLead: "名前、このアドレス、パスワードを入力すれば、残りは自動で見つかります。パソコンでも Android でも同じです。",
	Others: "その他のメールソフト", OthersLead: "Outlook や Android の Gmail など、サーバーを尋ねられたら手動設定を選び、次のとおり入力します。",
	In: "受信メール (IMAP)", InPOP: "受信メール (POP3)", Out: "送信メール (SMTP)",
	Server: "サーバー", Port: "ポート", Security: "セキュリティ", User: "ユーザー名",

	House: "この家のメールサーバー", HouseLead: "この機器は、みなさんのメールを家の中に保管しています。スマートフォンやパソコンの設定方法は、次のページにあります。",
	ToSetup: "メールの設定", NoDomain: "まだドメインがないため、設定するものがありません。管理者はまず次のコマンドを実行します。",
	Unsure: "証明書が確認できないとブラウザーに表示されたら、サーバーはまだ証明書を待っています。管理者に知らせてください。",
}
