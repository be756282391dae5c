package autoconfig

import "encoding/xml"

// The elements of config-v1.1.xml, as Mozilla's wiki defines them under
// Thunderbird:Autoconfiguration:ConfigFileFormat.
type (
	clientConfig struct {
		XMLName  xml.Name      `xml:"clientConfig"`
		Version  string        `xml:"version,attr"`
		Provider emailProvider `xml:"emailProvider"`
	}
	emailProvider struct {
		ID        string       `xml:"id,attr"`
		Domain    string       `xml:"domain"`
		Name      string       `xml:"displayName"`
		ShortName string       `xml:"displayShortName"`
		Incoming  []mailServer `xml:"incomingServer"`
		Outgoing  []mailServer `xml:"outgoingServer"`
	}
	mailServer struct {
		Type       string `xml:"type,attr"`
		Host       string `xml:"hostname"`
		Port       uint16 `xml:"port"`
		SocketType string `xml:"socketType"`
		User       string `xml:"username"`
		Auth       string `xml:"authentication"`
	}
)

// wholeAddress is replaced by the program with what its user has typed, so that
// the answer is the same for every address.
const wholeAddress = "%EMAILADDRESS%"

// Thunderbird returns config-v1.1.xml, which K-9, Evolution, KMail and others
// read, too. Programs take the first server that they can use.
func Thunderbird(s Server) ([]byte, error) {
	s, err := s.checked()
	if err != nil {
		return nil, err
	}
	c := clientConfig{Version: "1.1", Provider: emailProvider{
		ID: s.Domain, Domain: s.Domain, Name: s.Brand, ShortName: s.Brand,
		Incoming: append(s.mailServers("imap", s.IMAP), s.mailServers("pop3", s.POP3)...),
		Outgoing: s.mailServers("smtp", s.Submission),
	}}
	return document(c)
}

func (s Server) mailServers(kind string, open []Service) (list []mailServer) {
	for _, d := range open {
		socket := "STARTTLS"
		if d.TLS == Implicit {
			socket = "SSL" // the format's word for TLS from the start
		}
		// Clear text is what goes through the TLS: a password store that can
		// answer CRAM-MD5 would have to know the passwords.
		list = append(list, mailServer{kind, s.Host, d.Port, socket, wholeAddress, "password-cleartext"})
	}
	return list
}

// document is the whole of an XML file.
func document(v any) ([]byte, error) {
	b, err := xml.MarshalIndent(v, "", "  ")
	if err != nil {
		return nil, err
	}
	return append([]byte(xml.Header), append(b, '\n')...), nil
}
