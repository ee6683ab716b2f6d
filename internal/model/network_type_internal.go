package model

// TypeInternal is a switch behind no NAT: endpoints do not reach the outside.
const TypeInternal NetworkType = "internal"

var internalType = networkType{name: TypeInternal, nat: hasNoNAT}
