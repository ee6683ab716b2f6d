/* SPDX-License-Identifier: (GPL-2.0 OR BSD-2-Clause) */
/* Types of which user space has its own. */
#pragma once
#include "event_types.h"

/* Keeps in the object's BTF what user space is made from and no map has. */
const struct {
	enum reason reason;
	enum tcp_state tcp_state;
	enum filtering filtering;
	enum setting_flags setting_flags;
	enum pooling pooling;
	enum exhaustion exhaustion;
	enum pool_flags pool_flags;
	enum ipsec_flags ipsec_flags;
	enum ipsec_limits ipsec_limits;
	enum host_address_flags host_address_flags;
	enum outside_flags outside_flags;
	enum source_flags source_flags;
	enum network_flags network_flags;
	enum delivery delivery;
	enum binding_flags binding_flags;
	enum session_flags session_flags;
	enum rtt_flags rtt_flags;
	enum event_id event_id;
	enum end_cause end_cause;
	enum index_change index_change;
	enum lost_kind lost_kind;
	enum program program;
	enum mark mark;
	struct event event;
	struct claim claim;
	struct early_question early_question;
	struct end_request end_request;
	struct index_request index_request;
#ifdef OBSERVED
	enum fate fate;
	struct capture_record capture_record;
	struct arrival arrival;
#endif
} *shared_types __attribute__((unused));
