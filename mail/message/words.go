package message

// words are the strings that most messages have, so that a record holds a
// number for each and memory holds each once. Records are kept for good: words
// may be added at the end, never moved or removed.
var words = [...]string{
	"", "text", "plain", "html", "multipart", "mixed", "alternative", "related", "signed", "report",
	"application", "octet-stream", "pdf", "image", "jpeg", "png", "gif", "message", "rfc822", "delivery-status",
	"charset", "utf-8", "UTF-8", "iso-2022-jp", "ISO-2022-JP", "us-ascii", "US-ASCII", "iso-8859-1", "ISO-8859-1", "shift_jis",
	"Shift_JIS", "windows-1252", "boundary", "format", "flowed", "delsp", "yes", "no", "name", "filename",
	"attachment", "inline", "7bit", "8bit", "base64", "quoted-printable", "binary", "size", "type", "text/html",
	"multipart/alternative", "protocol", "micalg", "application/pkcs7-signature", "application/pgp-signature", "pgp-sha256", "pkcs7-signature", "pgp-signature", "calendar", "method",
	"REQUEST", "x-unix-mode", "creation-date", "modification-date", "docomo.ne.jp", "ezweb.ne.jp", "softbank.ne.jp", "i.softbank.jp", "gmail.com", "icloud.com",
	"yahoo.co.jp", "zip", "vnd.openxmlformats-officedocument.wordprocessingml.document", "vnd.openxmlformats-officedocument.spreadsheetml.sheet", "msword", "rfc822-headers", "report-type", "disposition-notification", "heic", "mp4",
	"video", "audio", "digest", "global", "outlook.com", "en", "ja", "en-US", "ja-JP", "undisclosed-recipients",
}

// wordNumbers finds a word.
var wordNumbers = func() map[string]int {
	m := make(map[string]int, len(words))
	for i, w := range words {
		if _, ok := m[w]; !ok {
			m[w] = i
		}
	}
	return m
}()

// intern returns b as a string, without a copy if it is a word.
func intern(b []byte) string {
	if i, ok := wordNumbers[string(b)]; ok {
		return words[i]
	}
	return string(b)
}
