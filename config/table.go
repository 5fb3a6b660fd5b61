// Copyright (c) 2026 The tunrouter authors
// SPDX-License-Identifier: MIT

package config

import (
	"strconv"
	"strings"
)

// A TableMode says which routing table the routes of AllowedIPs go to.
type TableMode uint8

const (
	// TableAuto is the main table, with a table and rules of its own for default
	// routes. It is what a file without Table means.
	TableAuto TableMode = iota
	// TableOff sets no routes.
	TableOff
	// TableID is the table that [Table.ID] or [Table.Name] says.
	TableID
)

// String returns auto, off or id.
func (m TableMode) String() string {
	switch m {
	case TableAuto:
		return "auto"
	case TableOff:
		return "off"
	case TableID:
		return "id"
	}
	return "TableMode(" + strconv.Itoa(int(m)) + ")"
}

// A Table is the value of the key Table. The zero Table is auto.
type Table struct {
	Mode TableMode
	// ID is the number of the table with TableID, 0 when it has a name.
	ID uint32
	// Name is a name of /etc/iproute2/rt_tables with TableID, unresolved; it
	// is empty when the table has a number.
	Name string
}

// String returns the table as a file has it.
func (t Table) String() string {
	switch {
	case t.Mode != TableID:
		return t.Mode.String()
	case t.Name != "":
		return t.Name
	}
	return strconv.FormatUint(uint64(t.ID), 10)
}

// setTable reads auto, off, a number (also hexadecimal, as ip(8) takes it) or a name.
func setTable(e *entry) {
	table := &e.cfg.Interface.Table
	if e.value == "" || sameName(e.value, "auto") {
		*table = Table{}
		return
	}
	if sameName(e.value, "off") {
		*table = Table{Mode: TableOff}
		return
	}
	if first := e.value[0]; first < '0' || first > '9' {
		if strings.IndexFunc(e.value, func(r rune) bool { return !isTableRune(r) }) >= 0 {
			e.wrong("write auto, off, a number or a name of /etc/iproute2/rt_tables", "%s is not a routing table", show(e.value))
			return
		}
		*table = Table{Mode: TableID, Name: e.value}
		return
	}
	digits, base := e.value, 10
	if len(digits) > 2 && (digits[:2] == "0x" || digits[:2] == "0X") {
		digits, base = digits[2:], 16
	}
	id, err := strconv.ParseUint(digits, base, 32)
	if err != nil || id == 0 {
		e.wrong("write auto, off or a number from 1 to 4294967295", "%s is not a routing table", show(e.value))
		return
	}
	*table = Table{Mode: TableID, ID: uint32(id)}
}

func isTableRune(r rune) bool {
	return isLetter(r) || '0' <= r && r <= '9' || r == '_' || r == '-' || r == '.'
}
