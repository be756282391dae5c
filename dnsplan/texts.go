package dnsplan

import "homemail/words"

// A Text is said in English and in Japanese.
type Text = words.Text

// purpose says what the records of a kind are for, where a record says nothing
// of its own.
func purpose(k Kind) Text {
	if key := "dnsplan.purpose." + string(k); words.House().Has(key) {
		return words.Say(key).Text()
	}
	return Text{}
}

// Text is a state in a word or two.
func (s State) Text() Text {
	switch s {
	case NotSeen:
		return words.Say("dnsplan.state.not-seen").Text()
	case Correct:
		return words.Say("dnsplan.state.correct").Text()
	case Differs:
		return words.Say("dnsplan.state.differs").Text()
	case Conflict:
		return words.Say("dnsplan.state.conflict").Text()
	}
	return words.Say("dnsplan.state.could-not-ask").Text()
}

// Text is a rank in a word.
func (r Rank) Text() Text {
	switch r {
	case Required:
		return words.Say("dnsplan.rank.required").Text()
	case Recommended:
		return words.Say("dnsplan.rank.recommended").Text()
	}
	return words.Say("dnsplan.rank.optional").Text()
}
