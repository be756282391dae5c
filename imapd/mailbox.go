package imapd

import (
	"errors"
	"strings"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapserver"

	"homemail/mail"
	"homemail/store"
)

const separator = '/'

// uses are the special uses that CREATE may ask for, RFC 6154 §3.
var uses = map[imap.MailboxAttr]mail.SpecialUse{
	imap.MailboxAttrDrafts: mail.Drafts, imap.MailboxAttrSent: mail.Sent, imap.MailboxAttrJunk: mail.Junk,
	imap.MailboxAttrTrash: mail.Trash, imap.MailboxAttrArchive: mail.Archive,
}

// Create is CREATE, RFC 9051 §6.3.4. A separator at the end only says that
// there will be mailboxes below.
func (s *session) Create(name string, o *imap.CreateOptions) error {
	use := mail.NoUse
	for _, attr := range o.SpecialUse {
		u, ok := uses[attr]
		if !ok || use != mail.NoUse {
			return no("USEATTR", "That special use is not possible") // RFC 6154 §6
		}
		use = u
	}
	_, err := s.acct.Create(strings.TrimSuffix(name, "/"), use)
	return s.refuse(err, "create a mailbox")
}

// Delete is DELETE, RFC 9051 §6.3.5. A client that deletes the mailbox it has
// selected finds it empty; the others hear BYE.
func (s *session) Delete(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	box, err := s.acct.Mailbox(name)
	if err == nil {
		err = s.acct.Delete(name)
	}
	if err == nil && s.view != nil && s.view.box == box.ID {
		s.view.deleted = true
		s.view.replace(nil, 0)
	}
	return s.refuse(err, "delete a mailbox")
}

// Rename is RENAME, RFC 9051 §6.3.6.
func (s *session) Rename(from, to string, _ *imap.RenameOptions) error {
	err := s.acct.Rename(strings.TrimSuffix(from, "/"), strings.TrimSuffix(to, "/"))
	return s.refuse(err, "rename a mailbox")
}

// Subscribe is SUBSCRIBE, RFC 9051 §6.3.7.
func (s *session) Subscribe(name string) error {
	return s.refuse(s.acct.Subscribe(strings.TrimSuffix(name, "/"), true), "subscribe")
}

// Unsubscribe is UNSUBSCRIBE, RFC 9051 §6.3.8.
func (s *session) Unsubscribe(name string) error {
	return s.refuse(s.acct.Subscribe(strings.TrimSuffix(name, "/"), false), "unsubscribe")
}

// Namespace is NAMESPACE, RFC 9051 §6.3.10: all mailboxes are the person's own.
func (s *session) Namespace() (*imap.NamespaceData, error) {
	return &imap.NamespaceData{Personal: []imap.NamespaceDescriptor{{Delim: separator}}}, nil
}

// Status is STATUS, RFC 9051 §6.3.11.
func (s *session) Status(name string, o *imap.StatusOptions) (*imap.StatusData, error) {
	box, err := s.acct.Mailbox(name)
	if err != nil {
		return nil, s.refuse(err, "status")
	}
	return s.status(&box), nil
}

func (s *session) status(box *store.Mailbox) *imap.StatusData {
	limit, recent := s.AppendLimit(), uint32(0)
	return &imap.StatusData{
		Mailbox: box.Name, NumMessages: &box.Messages, NumRecent: &recent, UIDNext: imap.UID(box.UIDNext),
		UIDValidity: box.UIDValidity, NumUnseen: &box.Unseen, NumDeleted: &box.Deleted, Size: &box.Size,
		DeletedStorage: &box.DeletedSize, AppendLimit: &limit,
	}
}

// List is LIST and LSUB, RFC 9051 §6.3.9 and RFC 5258.
func (s *session) List(w *imapserver.ListWriter, ref string, patterns []string, o *imap.ListOptions) error {
	if len(patterns) == 0 { // asks for the separator
		return w.WriteList(&imap.ListData{Attrs: []imap.MailboxAttr{imap.MailboxAttrNoSelect}, Delim: separator})
	}
	boxes, err := s.acct.Mailboxes()
	if err != nil {
		return s.refuse(err, "list")
	}
	wanted := make([]pattern, len(patterns))
	for i, p := range patterns {
		wanted[i] = newPattern(ref, p)
	}
	below := parents(boxes)
	for i := range boxes {
		box := &boxes[i]
		if !matchAny(wanted, box.Name) || o.SelectSpecialUse && attrOf(box) == "" {
			continue
		}
		kin := below[box.Name]
		if o.SelectSubscribed && !box.Subscribed && !(o.SelectRecursiveMatch && kin.subscribed) {
			continue
		}
		if err := w.WriteList(s.listed(box, kin, o)); err != nil {
			return err
		}
	}
	return nil
}

// listed is a mailbox as LIST shows it.
func (s *session) listed(box *store.Mailbox, kin descendants, o *imap.ListOptions) *imap.ListData {
	data := &imap.ListData{Delim: separator, Mailbox: box.Name, Attrs: []imap.MailboxAttr{imap.MailboxAttrHasNoChildren}}
	if kin.any {
		data.Attrs[0] = imap.MailboxAttrHasChildren
	}
	if use := attrOf(box); use != "" {
		data.Attrs = append(data.Attrs, use)
	}
	if box.Subscribed && (o.SelectSubscribed || o.ReturnSubscribed) {
		data.Attrs = append(data.Attrs, imap.MailboxAttrSubscribed)
	}
	if o.SelectRecursiveMatch && kin.subscribed {
		data.ChildInfo = &imap.ListDataChildInfo{Subscribed: true}
	}
	if o.ReturnStatus != nil {
		data.Status = s.status(box)
	}
	return data
}

// attrOf is the special use of a mailbox on the wire. INBOX has none.
func attrOf(box *store.Mailbox) imap.MailboxAttr {
	if box.Use == mail.Inbox {
		return ""
	}
	return imap.MailboxAttr(box.Use)
}

func matchAny(list []pattern, name string) bool {
	for _, p := range list {
		if p.match(name) {
			return true
		}
	}
	return false
}

// descendants tells what is below a mailbox.
type descendants struct{ any, subscribed bool }

func parents(boxes []store.Mailbox) map[string]descendants {
	m := make(map[string]descendants)
	for i := range boxes {
		name := boxes[i].Name
		for at := strings.LastIndexByte(name, separator); at > 0; at = strings.LastIndexByte(name, separator) {
			name = name[:at]
			d := m[name]
			m[name] = descendants{any: true, subscribed: d.subscribed || boxes[i].Subscribed}
		}
	}
	return m
}

// destination finds the mailbox of APPEND, COPY and MOVE. One that is missing
// can be made, RFC 9051 §7.1 TRYCREATE.
func (s *session) destination(name string) (store.Mailbox, error) {
	box, err := s.acct.Mailbox(name)
	if errors.Is(err, store.ErrNotFound) {
		return box, no(imap.ResponseCodeTryCreate, "There is no such mailbox")
	}
	return box, s.refuse(err, "find a mailbox")
}
