package preset

func transactional() []Preset {
	return []Preset{
		{
			ID: "ses", Name: Text{EN: "Amazon SES", JA: "Amazon SES"}, Group: Transactional,
			HostHint: "email-smtp.REGION.amazonaws.com", Port: 465, TLS: Implicit, Auth: []string{"PLAIN", "LOGIN"}, Login: LoginName, From: FromVerified, DKIM: true,
			Help: "https://docs.aws.amazon.com/ses/latest/dg/send-email-smtp.html",
			Note: Text{
				EN: "Make SMTP credentials in the SES console (they differ from access keys and by region), verify your domain, and ask to leave the sandbox: until then it sends to verified addresses only.",
				JA: "SES のコンソールで SMTP 認証情報(アクセスキーとは別物で、リージョンごとに異なります)を作り、ドメインを検証し、サンドボックスの解除を申請します。解除されるまでは検証済みの宛先にしか送れません。",
			},
			Source: []string{"https://docs.aws.amazon.com/ses/latest/dg/smtp-connect.html", "https://docs.aws.amazon.com/ses/latest/dg/verify-addresses-and-domains.html"},
		},
		{
			ID: "brevo", Name: Text{EN: "Brevo", JA: "Brevo"}, Group: Transactional,
			Host: "smtp-relay.brevo.com", Port: 465, TLS: Implicit, Auth: []string{"PLAIN", "LOGIN"}, Login: LoginName, From: FromVerified, DKIM: true,
			Free: Text{EN: "300 messages a day", JA: "1 日 300 通"},
			Help: "https://developers.brevo.com/docs/smtp-integration",
			Note: Text{
				EN: "Use the login and an SMTP key from the page SMTP & API (not an API key), and authenticate your domain there, else mail leaves under a brevosend.com address.",
				JA: "「SMTP & API」の画面にあるログイン名と SMTP キー(API キーではありません)を使い、そこでドメインを認証してください。認証しないと brevosend.com の差出人で送られます。",
			},
			Source: []string{"https://developers.brevo.com/docs/smtp-integration", "https://smtptester.org/guides/brevo-smtp-test/", "https://www.captaindns.com/en/blog/brevo-transactional-email-technical-guide"},
		},
		{
			ID: "smtp2go", Name: Text{EN: "SMTP2GO", JA: "SMTP2GO"}, Group: Transactional,
			Host: "mail.smtp2go.com", Port: 465, TLS: Implicit, Auth: []string{"PLAIN", "LOGIN"}, Login: LoginName, From: FromVerified, DKIM: true,
			Help: "https://developers.smtp2go.com/docs/smtp-relay",
			Note: Text{
				EN: "Make an SMTP user under Sending > SMTP Users and verify your domain under Verified Senders; where port 465 is closed, 8465 and 443 do the same.",
				JA: "「Sending > SMTP Users」で SMTP ユーザーを作り、「Verified Senders」でドメインを検証します。ポート 465 が使えない回線では 8465 か 443 が使えます。",
			},
			Source: []string{"https://developers.smtp2go.com/docs/smtp-relay", "https://www.smtp2go.com/blog/how-we-keep-your-emails-secure-at-smtp2go/"},
		},
		mailgun("mailgun", Text{EN: "Mailgun (US)", JA: "Mailgun(米国)"}, "smtp.mailgun.org"),
		mailgun("mailgun-eu", Text{EN: "Mailgun (EU)", JA: "Mailgun(EU)"}, "smtp.eu.mailgun.org"),
		{
			ID: "postmark", Name: Text{EN: "Postmark", JA: "Postmark"}, Group: Transactional,
			// It has no port with TLS from the first byte.
			Host: "smtp.postmarkapp.com", Port: 587, TLS: StartTLS, Auth: []string{"PLAIN", "LOGIN"}, Login: LoginKey, From: FromVerified, DKIM: true,
			Help: "https://postmarkapp.com/developer/user-guide/send-email-with-smtp",
			Note: Text{
				EN: "The server API token is both the user name and the password; verify your domain under Sender Signatures. It takes personal and transactional mail, no newsletters.",
				JA: "サーバー API トークンをユーザー名とパスワードの両方に入れ、「Sender Signatures」でドメインを検証します。個人のメールや通知用で、メールマガジンは送れません。",
			},
			Source: []string{"https://postmarkapp.com/support/article/811-what-are-the-smtp-details-credentials-i-should-be-using", "https://postmarkapp.com/developer/user-guide/send-email-with-smtp"},
		},
		{
			ID: "mailjet", Name: Text{EN: "Mailjet", JA: "Mailjet"}, Group: Transactional,
			Host: "in-v3.mailjet.com", Port: 465, TLS: Implicit, Auth: []string{"PLAIN", "LOGIN"}, Login: LoginKey, From: FromVerified, DKIM: true,
			Free: Text{EN: "6,000 messages a month, 200 a day", JA: "1 か月 6,000 通、1 日 200 通"},
			Help: "https://documentation.mailjet.com/",
			Note: Text{
				EN: "The user name is the API key and the password is the secret key; validate your domain and publish its DKIM record.",
				JA: "ユーザー名は API キー、パスワードはシークレットキーです。ドメインを検証し、DKIM レコードを公開してください。",
			},
			Source: []string{"https://smtptester.org/guides/mailjet-smtp-test/", "https://www.captaindns.com/en/blog/mailjet-transactional-email-technical-guide"},
		},
		{
			ID: "sendgrid", Name: Text{EN: "SendGrid", JA: "SendGrid"}, Group: Transactional,
			Host: "smtp.sendgrid.net", Port: 465, TLS: Implicit, Auth: []string{"PLAIN", "LOGIN"}, Login: LoginFixed, User: "apikey", From: FromVerified, DKIM: true,
			Help: "https://www.twilio.com/docs/sendgrid/for-developers/sending-email/integrating-with-the-smtp-api",
			Note: Text{
				EN: "The user name is the word apikey and the password is an API key with the right to send mail; verify your domain first.",
				JA: "ユーザー名は apikey という文字そのもの、パスワードはメール送信の権限を付けた API キーです。先にドメインを検証してください。",
			},
			Source: []string{"https://www.twilio.com/docs/sendgrid/for-developers/sending-email/integrating-with-the-smtp-api"},
		},
	}
}

// mailgun has two regions that share nothing but the words.
func mailgun(id string, name Text, host string) Preset {
	return Preset{
		ID: id, Name: name, Group: Transactional,
		Host: host, Port: 465, TLS: Implicit, Auth: []string{"PLAIN", "LOGIN"}, Login: LoginAddress, From: FromVerified, DKIM: true, SPF: "mailgun.org",
		Help: "https://help.mailgun.com/hc/en-us/articles/203380100-Where-can-I-find-my-API-keys-and-SMTP-credentials",
		Note: Text{
			EN: "Use the SMTP credentials of your domain (often postmaster@ and a password that is shown once), not an API key; the SPF and DKIM records belong on the domain that you added there.",
			JA: "API キーではなく、ドメインの SMTP 認証情報(多くは postmaster@ と、一度だけ表示されるパスワード)を使います。SPF と DKIM のレコードは、Mailgun に登録したドメインに置きます。",
		},
		Source: []string{"https://smtptester.org/guides/mailgun-smtp-test/", "https://kb.umbhost.net/email-smtp/sending-email-via-mailgun-smtp/", "https://spfwise.com/en/article/mailgun-spf-dkim-dmarc-setup"},
	}
}

func mailboxes() []Preset {
	return []Preset{
		{
			ID: "gmail", Name: Text{EN: "Gmail", JA: "Gmail"}, Group: Mailbox,
			Host: "smtp.gmail.com", Port: 465, TLS: Implicit, Auth: []string{"PLAIN", "LOGIN"}, Login: LoginAddress, From: FromLogin,
			Free: Text{EN: "about 500 messages a day", JA: "1 日およそ 500 通"},
			Help: "https://support.google.com/accounts/answer/185833",
			Note: Text{
				EN: "Turn on 2-Step Verification and make an app password; a From other than your Gmail address is replaced unless it is set up under “Send mail as”.",
				JA: "2 段階認証を有効にしてアプリ パスワードを作ります。「他のメールアドレスを追加」で登録していない差出人は、Gmail のアドレスに置き換えられます。",
			},
			Source: []string{thunderbird + "googlemail.com.xml", "https://codeopx.com/email/guides/gmail", "https://proximatesolutions.com/how-to-set-up-smtp-using-google-app-passwords"},
		},
		{
			ID: "fastmail", Name: Text{EN: "Fastmail", JA: "Fastmail"}, Group: Mailbox,
			Host: "smtp.fastmail.com", Port: 465, TLS: Implicit, Auth: []string{"PLAIN"}, Login: LoginAddress, From: FromLogin, DKIM: true, SPF: "spf.messagingengine.com",
			Help: "https://www.fastmail.com/help/technical/servernamesandports.html",
			Note: Text{
				EN: "Make an app password: your own one is refused; add your domain to the account to send under it.",
				JA: "アプリパスワードを作ってください(通常のパスワードは使えません)。独自ドメインで送るには、そのドメインをアカウントに追加します。",
			},
			Source: []string{"https://www.fastmail.com/help/technical/servernamesandports.html", "https://mailflowauthority.com/email-authentication/fastmail-email-auth"},
		},
		{
			ID: "icloud", Name: Text{EN: "iCloud Mail", JA: "iCloud メール"}, Group: Mailbox,
			Host: "smtp.mail.me.com", Port: 587, TLS: StartTLS, Auth: []string{"PLAIN", "LOGIN"}, Login: LoginAddress, From: FromLogin,
			Help: "https://support.apple.com/HT202304",
			Note: Text{
				EN: "Two-factor authentication must be on; make an app-specific password and sign in with your whole iCloud address.",
				JA: "2 ファクタ認証を有効にして App 用パスワードを作り、iCloud のメールアドレス全体でログインします。",
			},
			Source: []string{thunderbird + "me.com.xml", "https://support.apple.com/HT202304"},
		},
		{
			ID: "yahoo-jp", Name: Text{EN: "Yahoo! JAPAN Mail", JA: "Yahoo!メール"}, Group: Mailbox,
			Host: "smtp.mail.yahoo.co.jp", Port: 465, TLS: Implicit, Auth: []string{"PLAIN", "LOGIN"}, Login: LoginName, From: FromLogin,
			Help: "https://support.yahoo-net.jp/PccMail/s/article/H000014864",
			Note: Text{
				EN: "First allow access by other mail programs (IMAP/POP/SMTP) in the settings of Yahoo! Mail; the user name is the part of your address before the @.",
				JA: "先に Yahoo!メールの設定で外部からのアクセス(IMAP/POP/SMTP)を有効にします。ユーザー名はメールアドレスの @ より前の部分です。",
			},
			Source: []string{"https://support.yahoo-net.jp/PccMail/s/article/H000014864 (as cited by a public table of mail clients)", "http://www.gunpaso.com/documents/pc-school-text16.html"},
		},
	}
}

// custom is for everybody else.
func custom() Preset {
	return Preset{
		ID: "custom", Name: Text{EN: "Another server", JA: "その他のサーバー"}, Group: Custom,
		HostHint: "SMTP.EXAMPLE.COM", Port: 465, TLS: Implicit, Auth: []string{"SCRAM-SHA-256", "PLAIN", "LOGIN"}, Login: LoginAddress,
		Note: Text{
			EN: "Your provider calls it outgoing server or SMTP server; port 465 means TLS from the start, port 587 means STARTTLS.",
			JA: "プロバイダーの案内で「送信サーバー」「SMTP サーバー」と呼ばれているものです。ポート 465 なら SSL/TLS、587 なら STARTTLS を選びます。",
		},
	}
}
