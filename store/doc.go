// Package store keeps every byte that must not be lost: accounts, addresses,
// mailboxes and messages, in Badger behind a journal of our own. A call that
// changes something returns nil once the change is on disk. It never speaks to
// a network and never waits for a client.
//
// docs/store.md tells the layout, and why there is a journal.
package store

import "errors"

// Errors to be tested with errors.Is.
var (
	ErrNotFound  = errors.New("not found")
	ErrExists    = errors.New("exists already")
	ErrInvalid   = errors.New("not possible")
	ErrOverQuota = errors.New("the account's quota is used up")
	ErrDiskFull  = errors.New("the disk is too full")
	ErrCorrupt   = errors.New("stored data is damaged")
	ErrBroken    = errors.New("the disk failed; nothing more is accepted until homemail starts anew")
	ErrLocked    = errors.New("another homemail uses this store")
	ErrClosed    = errors.New("the store is closed")
)
