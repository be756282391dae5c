package preset

// thunderbird is the database by which Thunderbird sets up accounts. A name
// in it is the provider's; it is tried out by those who put it there.
const thunderbird = "https://github.com/thunderbird/autoconfig/blob/master/ispdb/"

func ispJapan() []Preset {
	return []Preset{
		{
			ID: "ocn", Name: Text{EN: "OCN", JA: "OCN"}, Group: ISPJapan,
			Host: "smtp.ocn.ne.jp", Port: 465, TLS: Implicit, Auth: []string{"PLAIN", "LOGIN"}, Login: LoginAddress,
			Help: "https://service.ocn.ne.jp/option/mail/ocnmail/meiwaku/op25b.html",
			Note: Text{
				EN: "Sign in with an OCN mail address and its mail password, not with the one for the line.",
				JA: "OCN のメールアドレスとメールパスワードでログインします。回線の接続パスワードではありません。",
			},
			Source: []string{thunderbird + "ocn.ne.jp.xml", "https://service.ocn.ne.jp/option/mail/ocnmail/meiwaku/op25b.html"},
		},
		{
			ID: "so-net", Name: Text{EN: "So-net", JA: "So-net"}, Group: ISPJapan,
			// No page of So-net's own could be read for this; accounts of
			// other people that send this way are public, and they agree.
			Host: "mail.so-net.ne.jp", Port: 587, TLS: StartTLS, Auth: []string{"PLAIN", "LOGIN"}, Login: LoginAddress,
			Help: "https://support.so-net.ne.jp/",
			Note: Text{
				EN: "Compare these settings with the ones on your So-net papers; sign in with your So-net mail address and its mail password.",
				JA: "So-net からの書類にある設定と見比べてください。So-net のメールアドレスとメールパスワードでログインします。",
			},
			Source: []string{"https://support.so-net.ne.jp/fa/faq/web/knowledge1804.html (as cited by a public table of mail clients)", "public code that signs in to mail.so-net.ne.jp:587 with STARTTLS"},
		},
		{
			ID: "nifty", Name: Text{EN: "@nifty", JA: "@nifty"}, Group: ISPJapan,
			// Thunderbird still has port 587 without TLS; @nifty offers SMTP
			// over SSL and several public clients use it on 465.
			Host: "smtp.nifty.com", Port: 465, TLS: Implicit, Auth: []string{"PLAIN", "LOGIN"}, Login: LoginAddress,
			Help: "https://mail.nifty.com/info/manual/#settingMethod-area",
			Note: Text{
				EN: "Sign in with your @nifty mail address and its mail password; SMTP authentication is required.",
				JA: "@nifty のメールアドレスとメールパスワードでログインします。SMTP 認証が必須です。",
			},
			Source: []string{thunderbird + "nifty.com.xml", "http://www.nifty.com/mail/mailer/smtp_auth.htm", "http://www.nifty.com/mail/mailpro/summary.htm"},
		},
		{
			ID: "biglobe", Name: Text{EN: "BIGLOBE", JA: "BIGLOBE"}, Group: ISPJapan,
			Host: "mail.biglobe.ne.jp", Port: 465, TLS: Implicit, Auth: []string{"PLAIN", "LOGIN"}, Login: LoginAddress,
			Help: "https://faq.support.biglobe.ne.jp/faq_detail.html?faq_category=1357&faq_id=20845",
			Note: Text{
				EN: "Sign in with your BIGLOBE mail address and your BIGLOBE password, as on the membership card.",
				JA: "会員証にある BIGLOBE メールアドレスと BIGLOBE パスワードでログインします。",
			},
			Source: []string{thunderbird + "biglobe.ne.jp", "https://faq.support.biglobe.ne.jp/faq_detail.html?faq_category=1357&faq_id=20845"},
		},
		{
			ID: "plala", Name: Text{EN: "Plala", JA: "ぷらら"}, Group: ISPJapan,
			Host: "secure.plala.or.jp", Port: 465, TLS: Implicit, Auth: []string{"PLAIN", "LOGIN"}, Login: LoginAddress,
			Help: "https://www.plala.or.jp/support/",
			Note: Text{
				EN: "Sign in with your Plala mail address and its mail password; if port 465 does not answer, port 587 with STARTTLS has worked for others.",
				JA: "ぷららのメールアドレスとメールパスワードでログインします。ポート 465 でつながらないときは、587 と STARTTLS でつながった例があります。",
			},
			Source: []string{"https://gadget-s.info/140"},
		},
	}
}

func hostingJapan() []Preset {
	return []Preset{
		{
			ID: "sakura", Name: Text{EN: "Sakura Mailbox / Rental Server", JA: "さくらのメールボックス・レンタルサーバ"}, Group: HostingJapan,
			HostHint: "YOURNAME.sakura.ne.jp", Port: 587, TLS: StartTLS, Auth: []string{"PLAIN", "LOGIN"}, Login: LoginAddress, From: FromUnknown,
			Help: "https://help.sakura.ad.jp/",
			Note: Text{
				EN: "The server is the first domain name (初期ドメイン) of your contract; sign in with a whole mail address that you made in the control panel.",
				JA: "サーバー名はご契約の「初期ドメイン」です。コントロールパネルで作ったメールアドレス全体でログインします。",
			},
			Source: []string{"https://memorva.jp/internet/pc/mail_pop3_smtp_imap_over_ssl_op25b.php (STARTTLS)", "public set-ups of relays through NAME.sakura.ne.jp:587 with STARTTLS and the whole address"},
		},
		{
			ID: "xserver", Name: Text{EN: "Xserver", JA: "エックスサーバー"}, Group: HostingJapan,
			HostHint: "svNUMBER.xserver.jp", Port: 465, TLS: Implicit, Auth: []string{"PLAIN", "LOGIN"}, Login: LoginAddress,
			Help: "https://www.xserver.ne.jp/manual/man_mail_setting.php",
			Note: Text{
				EN: "The server name is in the server panel (サーバー情報); from a line outside Japan, sending must first be allowed there.",
				JA: "サーバー名はサーバーパネルの「サーバー情報」にあります。国外の回線から送るときは、先にパネルで国外アクセス制限を解除してください。",
			},
			Source: []string{"https://www.xserver.ne.jp/support/faq/faq_service_mail_trouble.php", "https://threedplus.co.jp/2025/05/26/ (ports 465 and 587)"},
		},
	}
}
