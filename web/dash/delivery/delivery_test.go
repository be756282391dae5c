package delivery

import (
	"strings"
	"testing"
)

const gmail = `Delivered-To: taro@gmail.example
Received: by 2002:a05:7208:420f with SMTP id bn15csp1;
        Sun, 22 Nov 2026 01:00:02 -0800 (PST)
`

const google = `Received: from mail.example.jp (mail.example.jp. [203.0.113.20])
        by mx.google.com with ESMTPS id d2si1
        for <taro@gmail.example>
        (version=TLS1_3 cipher=TLS_AES_256_GCM_SHA384 bits=256/256);
        Sun, 22 Nov 2026 01:00:01 -0800 (PST)
Authentication-Results: mx.google.com;
       dkim=pass header.i=@example.jp header.s=h1 header.b=abc;
       spf=pass (google.com: domain of taro@example.jp designates 203.0.113.20 as permitted sender) smtp.mailfrom=taro@example.jp;
       dmarc=pass (p=NONE sp=NONE dis=NONE) header.from=example.jp
From: "Taro (home)" <taro@example.jp>
Subject: spf=fail

spf=fail; From: x@evil.example`

const outlook = `Received: from mail.example.jp (203.0.113.20) by
 AM4PEPF.mail.protection.outlook.com (10.167.16.1) with Microsoft SMTP Server
 (version=TLS1_3, cipher=TLS_AES_256_GCM_SHA384) id 15.20; Sun, 22 Nov 2026
Authentication-Results: spf=softfail (sender IP is 203.0.113.20)
 smtp.mailfrom=example.jp; dkim=pass (signature was verified)
 header.d=relay.example;dmarc=fail action=none
 header.from=example.jp;compauth=fail reason=001
Received-SPF: SoftFail
From: taro@example.jp
X-Forefront-Antispam-Report: CIP:203.0.113.20;CTRY:JP;SCL:5;SFV:SPM;CAT:SPM;
`

func TestRead(t *testing.T) {
	for name, tt := range map[string]struct {
		header string
		want   Report
	}{
		"Gmail":            {google, Report{"example.jp", "mx.google.com", Good, Good, Good, Good, Unsaid}},
		"with DOS' lines":  {strings.ReplaceAll(google, "\n", "\r\n"), Report{"example.jp", "mx.google.com", Good, Good, Good, Good, Unsaid}},
		"its own way last": {gmail + google, Report{"example.jp", "mx.google.com", Good, Good, Good, Good, Unsaid}},
		"in the clear":     {"Received: from b.big.example by a.big.example with ESMTP\nReceived: from us.example by mx.big.example with ESMTP id 1;", Report{"", "mx.big.example", Unsaid, Unsaid, Unsaid, Bad, Unsaid}},
		"Outlook, as junk": {outlook, Report{"example.jp", "am4pepf.mail.protection.outlook.com", Bad, Without, Bad, Good, Bad}},
		"nothing":          {"Hello,\nthis is no header: at all", Report{"", "", Unsaid, Unsaid, Unsaid, Unsaid, Unsaid}},
		"a second word":    {"Authentication-Results: a; spf=fail\nAuthentication-Results: b; spf=pass\nX-Spam-Flag: NO", Report{"", "", Bad, Unsaid, Unsaid, Unsaid, Good}},
	} {
		if got := Read(tt.header); got != tt.want {
			t.Errorf("%s: %+v, want %+v", name, got, tt.want)
		}
	}
}

// A comment changes nothing, and whatever is pasted has one of the marks.
func FuzzRead(f *testing.F) {
	for _, s := range []string{google, gmail, outlook, "", "a: (((", "From: \\", "Authentication-Results: x;dkim=pass header.d=@"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r := Read(s)
		for _, m := range []Mark{r.SPF, r.DKIM, r.DMARC, r.TLS, r.Junk} {
			if m != Good && m != Bad && m != Unsaid && m != Without {
				t.Errorf("%q: %+v", s, r)
			}
		}
		if strings.ContainsAny(uncommented(s), "()") && !strings.ContainsAny(s, `"`) {
			t.Errorf("%q has comments left: %q", s, uncommented(s))
		}
	})
}
