package arc

import "homemail/mail"

const (
	none = mail.ResultNone
	pass = mail.ResultPass
	fail = mail.ResultFail
	temp = mail.ResultTempError
)

// A suiteCase is a chain with so many hops, some of them changed, and then one
// change to the whole message.
type suiteCase struct {
	name     string
	hops     int
	steps    []step
	old, new string
	want     mail.Result
}

func suite() []suiteCase {
	cases := []suiteCase{
		{"cv_base1", 0, nil, "", "", none},
		{"cv_no_body", 0, nil, "\r\n\r\n" + suiteBody, "\r\n", none},
		{"cv_no_headers", 0, nil, suiteHeader, "", none},
		{"cv_empty", 0, nil, suiteHeader + "\r\n" + suiteBody, "", none},
		{"cv_pass_i1_1", 1, nil, "", "", pass},
		{"cv_pass_i2_1", 2, nil, "", "", pass},
		{"cv_pass_i3_1", 3, nil, "", "", pass},
		{"cv_pass_i4_1", 4, nil, "", "", pass},
		{"cv_pass_i5_1", 5, nil, "", "", pass},
		{"cv_pass_i2_1_ams1_invalid", 2, steps(before(1, "ams", "b=@B@", "b=QUJD")), "", "", pass},

		{"cv_fail_i1_ams_na", 1, steps(after(1, "ams", "", "")), "", "", fail},
		{"cv_fail_i1_ams_invalid", 1, nil, "From: John", "From: Joan", fail},
		{"cv_fail_i1_as_na", 1, steps(after(1, "as", "", "")), "", "", fail},
		{"cv_fail_i1_as_pass", 1, steps(before(1, "as", "cv=none", "cv=pass")), "", "", fail},
		{"cv_fail_i1_as_fail", 1, steps(before(1, "as", "cv=none", "cv=fail")), "", "", fail},
		{"cv_fail_i1_as_invalid", 1, steps(after(1, "as", "t=12345", "t=12346")), "", "", fail},
		{"cv_fail_i2_ams_na", 2, steps(after(2, "ams", "", "")), "", "", fail},
		{"cv_fail_i2_ams_invalid", 2, nil, "Subject: Example 1", "Subject: Example 2", fail},
		{"cv_fail_i2_as1_na", 2, steps(after(1, "as", "", "")), "", "", fail},
		{"cv_fail_i2_as1_invalid", 2, steps(before(1, "as", "b=@B@", "b=QUJD")), "", "", fail},
		{"cv_fail_i2_as1_pass", 2, steps(before(1, "as", "cv=none", "cv=pass")), "", "", fail},
		{"cv_fail_i2_as1_fail", 2, steps(before(1, "as", "cv=none", "cv=fail")), "", "", fail},
		{"cv_fail_i2_as2_na", 2, steps(after(2, "as", "", "")), "", "", fail},
		{"cv_fail_i2_as2_invalid", 2, steps(before(2, "as", "b=@B@", "b=QUJD")), "", "", fail},
		{"cv_fail_i2_as2_none", 2, steps(before(2, "as", "cv=pass", "cv=none")), "", "", fail},
		{"cv_fail_i2_as2_fail", 2, steps(before(2, "as", "cv=pass", "cv=fail")), "", "", fail},

		{"as_format_sc_wsp", 1, steps(before(1, "as", "; d=", " ;\r\n\t d=")), "", "", pass},
		{"as_format_eq_wsp", 1, steps(before(1, "as", "d=example.org", "d =\r\n example.org")), "", "", pass},
		{"as_format_tags_wsp", 1, steps(before(1, "as", "a=rsa-sha256", "a=rsa -sha256")), "", "", fail},

		{"as_fields_b_1024", 1, steps(before(1, "as", "s=dummy", "s=dummy")), "", "", pass},
		{"as_fields_b_2048", 1, steps(before(1, "as", "s=dummy", "s=other")), "", "", pass},
		{"as_fields_b_head_case", 1, steps(after(1, "as", "ARC-Seal", "arc-SEAL")), "", "", pass},
		{"as_fields_b_head_unfold", 1, steps(after(1, "as", ";\r\n    t=", "; t=")), "", "", pass},
		{"as_fields_b_eol_wsp", 1, steps(after(1, "as", "t=12345\r\n", "t=12345  \t\r\n")), "", "", pass},
		{"as_fields_b_inl_wsp", 1, steps(after(1, "as", "; d=", ";    d=")), "", "", pass},
		{"as_fields_b_col_wsp", 1, steps(after(1, "as", ": a", " :   a")), "", "", pass},
		{"as_fields_b_aar1", 2, steps(after(1, "aar", "spf=pass", "spf=fail")), "", "", fail},
		{"as_fields_b_ams1", 2, steps(after(1, "ams", "t=12345", "t=12346")), "", "", fail},
		{"as_fields_b_asb1", 2, steps(after(1, "as", "t=12345", "t=12346")), "", "", fail},
		{"as_fields_cv_na", 1, steps(before(1, "as", " cv=none;", "")), "", "", fail},
		{"as_fields_cv_empty", 1, steps(before(1, "as", "cv=none", "cv=")), "", "", fail},
		{"as_fields_cv_invalid", 1, steps(before(1, "as", "cv=none", "cv=maybe")), "", "", fail},
		{"as_fields_h_present", 1, steps(before(1, "as", "cv=none", "cv=none; h=from")), "", "", fail},

		{"ams_fields_bh_ignores_wsp", 1, steps(before(1, "ams", "bh=", "bh=  \r\n ")), "", "", pass},
		{"ams_fields_bh_na", 1, steps(before(1, "ams", "bh=@BH@;", "")), "", "", fail},
		{"ams_fields_bh_empty", 1, steps(before(1, "ams", "bh=@BH@", "bh=")), "", "", fail},
		{"ams_fields_bh_base64", 1, steps(before(1, "ams", "bh=@BH@", "bh=*(^*&")), "", "", fail},
		{"ams_fields_bh_mod_sig", 1, steps(before(1, "ams", "bh=@BH@", "bh=SWSe46TZKCcDbH4klJPo+tjk5LWJnVRlP5pvjXFZYLQ=")), "", "", fail},
		{"ams_fields_bh_mod_bod", 1, nil, "Hey gang", "Hey, gang", fail},
		{"ams_fields_bh_sim_base", 1, steps(before(1, "ams", "/relaxed", "/simple")), "", "", pass},
		{"ams_fields_bh_sim_inl_wsp", 1, steps(before(1, "ams", "/relaxed", "/simple")), "This is", "This  is", fail},
		{"ams_fields_bh_sim_end_lines", 1, steps(before(1, "ams", "/relaxed", "/simple")), "--J.\r\n", "--J.\r\n\r\n\r\n", pass},
		{"ams_fields_bh_rel_eol_wsp", 1, nil, "gang,\r\n", "gang,  \r\n", pass},
		{"ams_fields_bh_rel_inl_wsp", 1, nil, "This is", "This \t is", pass},
		{"ams_fields_bh_rel_end_lines", 1, nil, "--J.\r\n", "--J.\r\n\r\n\r\n", pass},
		{"ams_fields_bh_rel_trail_crlf", 1, nil, "--J.\r\n", "--J.", pass},
		{"ams_fields_c_na", 1, steps(before(1, "ams", " c=relaxed/relaxed;", "")), "", "", pass},
		{"ams_fields_c_empty", 1, steps(before(1, "ams", "c=relaxed/relaxed", "c=")), "", "", fail},
		{"ams_fields_c_rr", 1, nil, "", "", pass},
		{"ams_fields_c_rs", 1, steps(before(1, "ams", "c=relaxed/relaxed", "c=relaxed")), "", "", pass},
		{"ams_fields_c_sr", 1, steps(before(1, "ams", "c=relaxed/relaxed", "c=simple/relaxed")), "", "", pass},
		{"ams_fields_c_ss", 1, steps(before(1, "ams", "c=relaxed/relaxed", "c=simple/simple")), "", "", pass},
		{"ams_fields_c_invalid", 1, steps(before(1, "ams", "c=relaxed/relaxed", "c=relaxed/loose")), "", "", fail},

		{"ams_fields_h_na", 1, steps(before(1, "ams", "h=from:to:date:subject:mime-version:arc-authentication-results;", "")), "", "", fail},
		{"ams_fields_h_cws1", 1, steps(before(1, "ams", "from:to", "from : to")), "", "", pass},
		{"ams_fields_h_cws2", 1, steps(before(1, "ams", "from:to", "from\r\n : to")), "", "", pass},
		{"ams_fields_h_case", 1, steps(before(1, "ams", "from:to", "FROM:To")), "", "", pass},
		{"ams_fields_h_dup1", 1, steps(before(1, "ams", "h=from", "h=received:from")), "MIME-Version", "Received: by hop2\r\nMIME-Version", pass},
		{"ams_fields_h_dup2", 1, steps(before(1, "ams", "h=from", "h=received:from")), "Message-ID", "Received: by hop0\r\nMessage-ID", fail},
		{"ams_fields_h_order", 1, steps(after(1, "ams", "to:date", "date:to")), "", "", fail},
		{"ams_fields_h_non_existant", 1, steps(before(1, "ams", "h=from", "h=x-none:from")), "", "", pass},
		{"ams_fields_h_non_existant_dup", 1, steps(before(1, "ams", "h=from", "h=subject:from")), "", "", pass},
		{"ams_fields_h_empty_added", 1, steps(before(1, "ams", "h=from", "h=cc:from")), "To:", "Cc: a@b\r\nTo:", fail},
		{"ams_fields_h_mis_hdr", 1, steps(before(1, "ams", "from:to", "from::to")), "", "", pass},
		{"ams_fields_h_includes_ams", 1, steps(before(1, "ams", "h=from", "h=arc-message-signature:from")), "", "", pass},
		{"ams_fields_h_includes_as", 1, steps(before(1, "ams", "h=from", "h=arc-seal:from")), "", "", fail},
		// The manifest lets an empty h= pass; RFC 6376 §3.5 and §5.4 want a
		// name in it, and From, and a chain without it says nothing.
		{"ams_fields_h_empty", 1, steps(before(1, "ams", "h=from:to:date:subject:mime-version:arc-authentication-results", "h=")), "", "", fail},
		{"ams_fields_h_without_from", 1, steps(before(1, "ams", "h=from:", "h=")), "", "", fail},

		{"aar_missing", 1, steps(after(1, "aar", "", "")), "", "", fail},
		{"aar_struct_dup", 1, nil, "MIME-Version", "ARC-Authentication-Results: i=1; x; spf=pass\r\nMIME-Version", fail},
		{"aar_i_missing", 1, steps(before(1, "aar", "i=1; ", "")), "", "", fail},
		{"aar_i_empty", 1, steps(before(1, "aar", "i=1;", "i=;")), "", "", fail},
		{"aar_i_zero", 1, steps(before(1, "aar", "i=1;", "i=0;")), "", "", fail},
		{"aar_i_invalid", 1, steps(before(1, "aar", "i=1;", "i=a;")), "", "", fail},
		{"aar_i_wrong", 1, steps(before(1, "aar", "i=1;", "i=2;")), "", "", fail},
		{"aar_i_not_prefix", 1, steps(before(1, "aar", "i=1; lists.example.org;", "lists.example.org; i=1;")), "", "", fail},
		{"aar_i_no_semi", 1, steps(before(1, "aar", "i=1;", "i=1")), "", "", fail},
		{"aar_i_cfws", 1, steps(before(1, "aar", "i=1;", "(a (b\\)))\r\n i (c) = 1 (d);")), "", "", pass},
		{"aar2_missing", 2, steps(after(2, "aar", "", "")), "", "", fail},

		{"ams_as_diff_s_d", 1, steps(before(1, "ams", "s=dummy", "s=other")), "", "", pass},
		{"public_key_na", 1, steps(before(1, "as", "s=dummy", "s=na")), "", "", fail},
		{"public_key_invalid", 1, steps(before(1, "as", "s=dummy", "s=invalid")), "", "", fail},
		// One version of the suite lets a whole set that is there twice pass;
		// RFC 8617 §5.2 step 3A wants exactly one of each field.
		{"arc_set_duplicate", 1, nil, "ARC-Seal", "ARC-Authentication-Results: i=1; x; spf=pass\r\nARC-Seal", fail},

		// Not in the suite.
		{"dns_temporary_seal", 1, steps(before(1, "as", "s=dummy", "s=slow")), "", "", temp},
		{"dns_temporary_message", 1, steps(before(1, "ams", "s=dummy", "s=slow")), "", "", temp},
		{"dns_temporary_but_wrong_body", 1, steps(before(1, "as", "s=dummy", "s=slow")), "Hey gang", "Hello gang", fail},
		{"dns_temporary_but_wrong_seal", 2, steps(before(1, "as", "s=dummy", "s=slow"), before(2, "as", "b=@B@", "b=QUJD")), "", "", fail},
		{"dns_temporary_message_but_wrong_seal", 2, steps(before(2, "ams", "s=dummy", "s=slow"), before(1, "as", "b=@B@", "b=QUJD")), "", "", fail},
		{"key_revoked", 1, steps(before(1, "as", "s=dummy", "s=revoked")), "", "", fail},
		{"ed25519", 2, steps(before(2, "as", "a=rsa-sha256", "a=ed25519-sha256"), before(2, "as", "s=dummy", "s=ed"),
			before(2, "ams", "a=rsa-sha256", "a=ed25519-sha256"), before(2, "ams", "s=dummy", "s=ed")), "", "", pass},
		{"ed25519_named_rsa", 1, steps(before(1, "as", "s=dummy", "s=ed")), "", "", fail},
		{"gap", 3, steps(after(2, "as", "", ""), after(2, "ams", "", ""), after(2, "aar", "", "")), "", "", fail},
		{"fifty", 50, nil, "", "", pass},
		{"fifty_one", 51, nil, "", "", fail},
		{"partial", 1, steps(before(1, "ams", "i=1", "l=10; i=1")), "", "", fail},
		{"expired", 1, steps(before(1, "ams", "i=1", "x=12346; i=1")), "", "", fail},
		{"expires_late", 1, steps(before(1, "ams", "i=1", "x=99999999999999999999; i=1")), "", "", pass},
		{"expires_malformed", 1, steps(before(1, "ams", "i=1", "x=soon; i=1")), "", "", fail},
		{"from_added", 1, steps(before(1, "ams", "h=from", "h=from:from")), "To:", "From: b@example.net\r\nTo:", fail},
		{"other_arc_field", 1, nil, "MIME-Version", "ARC-Note: i=7\r\nMIME-Version", pass},
	}
	return append(cases, bothFields()...)
}

// bothFields are the cases that seal and message signature have in common.
func bothFields() (cases []suiteCase) {
	for _, f := range []string{"as", "ams"} {
		for _, c := range []struct {
			name, old, new string
			want           mail.Result
		}{
			{"struct_i_na", "i=1; ", "", fail},
			{"struct_i_empty", "i=1", "i=", fail},
			{"struct_i_zero", "i=1", "i=0", fail},
			{"struct_i_invalid", "i=1", "i=a", fail},
			{"struct_i_three_digits", "i=1", "i=001", fail},
			{"format_tags_trail_sc", "t=12345", "t=12345;", pass},
			{"format_tags_unknown", "d=", "q=dns/txt; w=catparty; d=", pass},
			{"format_inv_tag_key", "d=", "_=val; d=", fail},
			{"format_tags_dup", "d=", "s=dummy; d=", fail},
			{"format_tags_key_case", "s=", "S=", fail},
			{"format_tags_sc", "d=", "; d=", fail},
			{"fields_a_na", "a=rsa-sha256;", "", fail},
			{"fields_a_empty", "a=rsa-sha256", "a=", fail},
			{"fields_a_sha1", "a=rsa-sha256", "a=rsa-sha1", fail},
			{"fields_a_unknown", "a=rsa-sha256", "a=rsa-sha99", fail},
			{"fields_b_na", "b=@B@;", "", fail},
			{"fields_b_empty", "b=@B@", "b=", fail},
			{"fields_b_base64", "b=@B@", "b=&@#$%", fail},
			{"fields_d_na", "d=example.org;", "", fail},
			{"fields_d_empty", "d=example.org", "d=", fail},
			{"fields_d_invalid", "d=example.org", "d=example..org", fail},
			{"fields_d_space", "d=example.org", "d=exam ple.org", fail},
			{"fields_s_na", "s=dummy;", "", fail},
			{"fields_s_empty", "s=dummy", "s=", fail},
			{"fields_t_empty", "t=12345", "t=", fail},
			{"fields_t_invalid", "t=12345", "t=wrong", fail},
			{"fields_t_na", "t=12345", "", pass},
		} {
			cases = append(cases, suiteCase{f + "_" + c.name, 1, steps(before(1, f, c.old, c.new)), "", "", c.want})
		}
		cases = append(cases,
			suiteCase{f + "_struct_dup", 2, steps(before(1, f, "i=1", "i=2")), "", "", fail},
			suiteCase{f + "_format_tags_val_case", 1, steps(after(1, f, "a=rsa-sha256", "a=rsa-SHA256")), "", "", fail},
			suiteCase{f + "_fields_b_ignores_wsp", 1, steps(after(1, f, "\r\n    ", " \r\n\t ")), "", "", pass},
			suiteCase{f + "_fields_b_mod_sig", 1, steps(before(1, f, "b=@B@", "b=AAAA@B@")), "", "", fail})
	}
	return cases
}

func steps(s ...step) []step { return s }
