package model

// TypeNAT is a switch behind a NAT.
const TypeNAT NetworkType = "nat"

var natType = networkType{name: TypeNAT, nat: needsNAT}
