/*
 * The protocol of increments: a pre-authorisation that a payment server holds, and
 * the acquirer above it, is raised by one order and ended by another, a void or a
 * completion, for spin.
 *
 * The network is that of payment.pml, on both ways: from the unit to the server,
 * and from the server to the acquirer. The server waits for the acquirer's answer
 * and forgets that it did when it dies; what it owes to the acquirer, the card's
 * last word to the pre-authorisation and then what ended it, it sends until it is
 * acknowledged. An increment's requests have no numbers of their own: those of one
 * order are all alike. When all has come to an end:
 *
 * - an increment that its unit keeps is held, at the server and above, once; one
 *   whose refusal a unit was told of is not;
 * - server and acquirer hold the same, or have both ended the same way;
 * - nothing is owed, and nothing waits for ever.
 *
 * The unit's moves are those of payment.Machine, as in payment.pml, and so are the
 * defects, switched on by name with -D.
 */

#include "machine.pml"

#define N 1
#define END 1
#define DEATHS 1
#define SILENCES 2
#define COPIES 2

/* What is in the network, and what the journals hold. */
bool sent[N + 1], ack[N + 1], no[N + 1];
mtype:debt owing[N + 1] = d_nothing;
bool kept[N + 1], told[N + 1];
mtype:debt ending;

/* The server, and what the acquirer was asked and has answered. */
mtype:order = { open, paid, refused };
mtype:hold = { approved, held, taken, voided };
mtype:order order[N] = open;
mtype:hold hold = held;
mtype:order endOrder = open;
byte raised[N], whole;
bool waits[N], asked[N], yesAbove[N], noAbove[N];
bool holdOwed = true, endOwed;

/* The acquirer. */
mtype:order orderAbove[N] = open;
mtype:hold holdAbove = approved;
byte raisedAbove[N];

byte deaths = DEATHS, silences = SILENCES, copies = COPIES;
byte done = 0;

hidden byte c_i;

inline consistent() {
	d_step {
		c_i = 0;
		do
		:: c_i < N ->
			assert(owing[c_i] == d_nothing);
			assert(raised[c_i] <= 1 && raisedAbove[c_i] <= 1);
			assert(kept[c_i] == (order[c_i] == paid));
			assert((order[c_i] == paid) == (raised[c_i] == 1));
			assert((orderAbove[c_i] == paid) == (raisedAbove[c_i] == 1));
			assert(raised[c_i] <= raisedAbove[c_i]);
			assert(!told[c_i] || raised[c_i] == 0);
			assert(hold != held || raised[c_i] == raisedAbove[c_i]);
			c_i++
		:: else -> break
		od;
		c_i = 0;
		assert(owing[END] == d_nothing);
		assert(kept[END] == (endOrder == paid));
		assert((endOrder == paid) == (hold != held));
		assert(hold == holdAbove)
	}
}

#define ALL (done == N + 1 && !holdOwed && !endOwed)
#define LOOK if :: ALL -> consistent() :: else fi

#ifdef FORGETS_REFUSAL
#define REFUSE(o) skip
#else
#define REFUSE(o) o = refused
#endif

/* An increment's request at the server. */
inline onRequest(i) {
	if
	:: order[i] == paid ->
#ifdef RAISES_TWICE
		raised[i]++;
#endif
		ack[i] = true
	:: order[i] == refused -> no[i] = true
	:: order[i] == open && hold != held -> REFUSE(order[i]); no[i] = true
	:: order[i] == open && hold == held -> waits[i] = true; asked[i] = true
	fi
}

/* The acquirer's answer at the server, if that still waits for it. */
inline onAnswer(i, yes) {
	waits[i] = false;
	if
	:: order[i] == paid -> ack[i] = true
	:: order[i] == refused -> no[i] = true
	:: order[i] == open && yes && hold == held -> order[i] = paid; raised[i]++; whole++; ack[i] = true
	:: order[i] == open && !(yes && hold == held) -> REFUSE(order[i]); no[i] = true
	fi
}

/* An increment's request at the acquirer. */
inline onRequestAbove(i) {
	if
	:: orderAbove[i] == paid -> yesAbove[i] = true
	:: orderAbove[i] == refused -> noAbove[i] = true
	:: orderAbove[i] == open && holdAbove == held ->
		if
		:: orderAbove[i] = paid; raisedAbove[i]++; yesAbove[i] = true
		:: REFUSE(orderAbove[i]); noAbove[i] = true
		fi
	:: orderAbove[i] == open && holdAbove != held -> REFUSE(orderAbove[i]); noAbove[i] = true
	fi
}

/* The order that ends it, a void of the whole or a completion, at the server. */
inline onEnd() {
	if
	:: endOrder == paid -> ack[END] = true
	:: endOrder == open && hold == held && !(ending == d_void && whole != orderedWhole) ->
		endOrder = paid; endOwed = true; ack[END] = true;
		if
		:: ending == d_void -> hold = voided
		:: else -> hold = taken
		fi
	:: else -> no[END] = true
	fi
}

byte orderedWhole;

/* Whether the acquirer takes what it is owed, acknowledged before or not. */
#ifdef HOLD_OVERTAKEN
#define ASKS(i) true
#define TAKES_HOLD (raisedAbove[0] == 0)
#else
#define ASKS(i) !(holdOwed && order[i] == open && hold == held)
#define TAKES_HOLD true
#endif
#ifdef VOID_OF_LESS
#define TAKES_END (holdAbove != held || ending != d_void || raisedAbove[0] == orderedWhole)
#else
#define TAKES_END true
#endif

#define FIRST(was, answered) (was && !(answered))
#define COPY(was, answered) (was && (answered) && copies > 0)

#define SERVES(i) \
	:: atomic { FIRST(sent[i], ack[i] || no[i]) && !waits[i] && ASKS(i) -> onRequest(i); LOOK } \
	:: atomic { COPY(sent[i], ack[i] || no[i]) && !waits[i] && ASKS(i) -> copies--; onRequest(i); LOOK } \
	:: atomic { waits[i] && yesAbove[i] -> onAnswer(i, true); LOOK } \
	:: atomic { waits[i] && noAbove[i] -> onAnswer(i, false); LOOK } \
	:: atomic { waits[i] && silences > 0 -> silences--; waits[i] = false } \
	:: atomic { FIRST(asked[i], yesAbove[i] || noAbove[i]) -> onRequestAbove(i); LOOK } \
	:: atomic { COPY(asked[i], yesAbove[i] || noAbove[i]) -> copies--; onRequestAbove(i); LOOK }

active proctype Servers() {
end:	do
	SERVES(0)
	:: atomic { FIRST(sent[END], ack[END] || no[END]) -> onEnd(); LOOK }
	:: atomic { COPY(sent[END], ack[END] || no[END]) -> copies--; onEnd(); LOOK }
	:: atomic { holdOwed && holdAbove == approved -> holdAbove = held }
	:: atomic { holdOwed && holdAbove != approved && TAKES_HOLD -> holdOwed = false; LOOK }
	:: atomic { endOwed && !holdOwed && holdAbove == held && TAKES_END -> holdAbove = hold }
	:: atomic { endOwed && !holdOwed && holdAbove == hold -> endOwed = false; LOOK }
	od
}

/* What is owed above is acknowledged in the end, or the model stops here. */
active proctype Owed() {
	ALL
}

#define MOVE(trigger) on = trigger; goto step

/* A unit with one of the orders. */
proctype Unit(byte me) {
	mtype:state at = s_asking;
	mtype:trigger on;
	mtype:debt owed;

again:	do
	:: atomic { deaths > 0 -> deaths--; goto restart }

	:: at == s_asking ->
		if
		:: atomic { hold == held -> if :: me == END -> orderedWhole = whole :: else fi; MOVE(t_trade) }
		:: hold != held -> MOVE(t_failed)
		:: me == END -> MOVE(t_failed)
		fi
	:: at == s_confirming ->
		MOVE(t_no_card_needed)
	:: at == s_writing ->
		if
		:: me == END -> owing[me] = ending
#ifndef NO_INCREMENT_WRITTEN
		:: me != END -> owing[me] = d_increment
#else
		:: me != END
#endif
		fi;
		MOVE(t_written)
	:: at == s_following ->
		sent[me] = true;
		if
		:: ack[me] && !told[me] ->
			kept[me] = true;
			if
			:: atomic { deaths > 0 -> deaths--; goto restart }
			:: owing[me] = d_nothing
			fi;
			MOVE(t_acknowledged)
		:: no[me] && !kept[me] -> atomic { told[me] = true; owing[me] = d_nothing; MOVE(t_host_declines) }
		:: kept[me] -> owing[me] = d_nothing; MOVE(t_acknowledged)
		:: atomic { silences > 0 && !told[me] -> silences--; MOVE(t_not_acknowledged) }
		fi
	:: FINAL(at) && owing[me] != d_nothing -> goto restart
	:: FINAL(at) && owing[me] == d_nothing -> break
	od;
	goto over;

step:	atomic {
		move(on);
		goto again
	}

restart:
	atomic {
		owed = owing[me];
		if
		:: owed == d_nothing && kept[me] -> owed = d_result
		:: else
		fi;
		restarts(owed);
		owed = d_nothing;
		goto again
	}

over:	atomic {
		done++;
		LOOK
	}
}

init {
	atomic {
		if
		:: ending = d_void
		:: ending = d_capture
		fi;
		run Unit(0);
		run Unit(END)
	}
}
