/*
 * The protocol of a payment's request, reversal and completion, between units
 * and a payment server, for spin.
 *
 * Two payments want the same order: two units, or one unit twice. The network
 * is the worst there is: what was once sent may arrive at any time later, as
 * often as it likes, in any order, or never; that is also all that a crash of
 * the server does, whose transactions are whole or nothing. A unit may die
 * between any two steps, and starts again from its journal. The number of
 * answers that do not come, of copies that arrive beyond the first and of
 * deaths is bounded, so that everything comes to an end, which is then checked:
 *
 * - a payment that its unit keeps as paid is booked once and completed;
 * - any other nets to zero, also when messages arrive later;
 * - the order is paid once at most;
 * - no completion comes for what is not booked, no reversal for what is
 *   completed, and nothing waits for ever.
 *
 * The unit's states, triggers and moves are those of payment.Machine: machine.pml
 * is made of it before each run, and a step that the machine has not is an error
 * here. The model's names begin with s_, t_ and d_ for states, triggers and what
 * the journal owes.
 *
 * Defects for the model to find are switched on by name, with -D.
 */

#include "machine.pml"

#define N 2
#define DEATHS 2
#define SILENCES 3
#define COPIES 3

/* What is in the network, what the journals hold, and what the server has. */
bool reqSent[N], revSent[N], cmpSent[N];
bool yes[N], no[N], revAck[N], cmpAck[N];
mtype:debt owing[N] = d_nothing;
bool kept[N];

mtype:auth = { unknown, declinedAuth, approvedAuth, completedAuth, reversedAuth };
mtype:auth auth[N] = unknown;
mtype:order = { open, pending, paid };
mtype:order order = open;
byte holder = N;
byte booked[N], taken[N];

byte deaths = DEATHS, silences = SILENCES, copies = COPIES;
byte done = 0;

hidden byte c_live, c_i;

/* What holds once every unit has come to its end, whatever arrives later. */
inline consistent() {
	d_step {
		c_live = 0;
		c_i = 0;
		do
		:: c_i < N ->
			assert(owing[c_i] == d_nothing);
			assert(booked[c_i] <= 1 && taken[c_i] <= booked[c_i]);
			assert(kept[c_i] == (auth[c_i] == completedAuth));
			assert(kept[c_i] == (booked[c_i] - taken[c_i] == 1));
			c_live = c_live + booked[c_i] - taken[c_i];
			c_i++
		:: else -> break
		od;
		assert(c_live <= 1);
		assert((order == paid) == (c_live == 1));
		assert(order != pending);
		c_i = 0;
		c_live = 0
	}
}

inline onRequest(i) {
	if
	:: auth[i] == unknown && order == open ->
		if
		:: auth[i] = approvedAuth; order = pending; holder = i; booked[i]++; yes[i] = true
		:: auth[i] = declinedAuth; no[i] = true
		fi
	:: auth[i] == unknown && order != open -> auth[i] = declinedAuth; no[i] = true
	:: auth[i] == declinedAuth -> no[i] = true
	:: auth[i] == approvedAuth || auth[i] == completedAuth ->
#ifdef BOOKS_REPEATS
		booked[i]++;
#endif
		yes[i] = true
	:: auth[i] == reversedAuth ->
#ifdef LATE_REQUEST
		auth[i] = unknown;
#endif
		no[i] = true
	fi
}

inline onReversal(i) {
	if
	:: auth[i] == unknown ->
#ifndef FORGETS_REVERSAL
		auth[i] = reversedAuth;
#endif
		revAck[i] = true
	:: auth[i] == declinedAuth || auth[i] == reversedAuth -> auth[i] = reversedAuth; revAck[i] = true
	:: auth[i] == approvedAuth ->
		assert(order == pending && holder == i);
		auth[i] = reversedAuth; taken[i]++; order = open; holder = N; revAck[i] = true
	:: auth[i] == completedAuth -> assert(false)
	fi
}

inline onCompletion(i) {
	if
	:: auth[i] == approvedAuth ->
		assert(order == pending && holder == i);
		auth[i] = completedAuth; order = paid; cmpAck[i] = true
	:: auth[i] == completedAuth -> cmpAck[i] = true
	:: else -> assert(false)
	fi
}

/* Whether a message arrives: the first time for nothing, again as a copy. */
#define FIRST(sent, answered) (sent && !(answered))
#define COPY(sent, answered) (sent && (answered) && copies > 0)
#define LOOK if :: done == N -> consistent() :: else fi

#define SERVES(i) \
	:: atomic { FIRST(reqSent[i], yes[i] || no[i]) -> onRequest(i); LOOK } \
	:: atomic { COPY(reqSent[i], yes[i] || no[i]) -> copies--; onRequest(i); LOOK } \
	:: atomic { FIRST(revSent[i], revAck[i]) -> onReversal(i); LOOK } \
	:: atomic { COPY(revSent[i], revAck[i]) -> copies--; onReversal(i); LOOK } \
	:: atomic { FIRST(cmpSent[i], cmpAck[i]) -> onCompletion(i); LOOK } \
	:: atomic { COPY(cmpSent[i], cmpAck[i]) -> copies--; onCompletion(i); LOOK }

/* The server, and the network before it: any message that was ever sent. */
active proctype Server() {
end:	do
	SERVES(0)
	SERVES(1)
	od
}

/* A trigger: the machine says where it leads. */
#define MOVE(trigger) on = trigger; goto step

/* A unit with one payment, from the app's call until nothing is owed. */
proctype Unit(byte me) {
	mtype:state at = s_asking;
	mtype:trigger on;
	mtype:debt owed;

again:	do
	:: atomic { deaths > 0 -> deaths--; goto restart }

	:: at == s_asking ->
		if
		:: kept[me] -> MOVE(t_known)
		:: !kept[me] && order == open -> MOVE(t_trade)
		:: !kept[me] && order != open -> MOVE(t_failed)
		:: atomic { silences > 0 -> silences--; MOVE(t_failed) }
		fi
	:: at == s_confirming ->
		if :: MOVE(t_agreed) :: MOVE(t_cancelled) fi
	:: at == s_reading ->
		if :: MOVE(t_ARQC) :: MOVE(t_AAC) fi
	:: at == s_preparing ->
#ifndef NO_REVERSAL_WRITTEN
		owing[me] = d_reversal;
#endif
		MOVE(t_written)
	:: at == s_requesting ->
		reqSent[me] = true;
		if
		:: yes[me] -> MOVE(t_host_approves)
		:: yes[me] -> MOVE(t_host_approves_a_part)
		:: no[me] -> MOVE(t_host_declines)
		:: atomic { silences > 0 -> silences--; MOVE(t_no_answer) }
		fi
	:: at == s_agreeing ->
		if :: MOVE(t_agreed) :: MOVE(t_cancelled) fi
	:: at == s_completing ->
		if :: MOVE(t_TC) :: MOVE(t_AAC) fi
	:: at == s_recording ->
#ifdef COMPLETES_FIRST
		cmpSent[me] = true;
#endif
		if
		:: owing[me] = d_completion; MOVE(t_written)
		:: atomic { silences > 0 -> silences--; MOVE(t_failed) }
		fi
	:: at == s_advising ->
		cmpSent[me] = true;
		if
		:: cmpAck[me] ->
			/* Two writes: the result, then the debt struck out. */
			kept[me] = true;
			if
			:: atomic { deaths > 0 -> deaths--; goto restart }
			:: owing[me] = d_nothing
			fi;
			MOVE(t_acknowledged)
		:: atomic { silences > 0 -> silences--; MOVE(t_not_acknowledged) }
		fi
	:: at == s_refusing ->
		owing[me] = d_nothing; MOVE(t_done)
	:: at == s_withdrawing ->
		MOVE(t_done)
	:: at == s_reversing ->
#ifdef SETTLES_UNASKED
		owing[me] = d_nothing; revSent[me] = true; MOVE(t_acknowledged)
#else
		revSent[me] = true;
		if
		:: revAck[me] -> owing[me] = d_nothing; MOVE(t_acknowledged)
		:: atomic { silences > 0 -> silences--; MOVE(t_not_acknowledged) }
		fi
#endif
	:: FINAL(at) && owing[me] != d_nothing -> goto restart
	:: FINAL(at) && owing[me] == d_nothing -> break
	od;
	goto over;

step:	atomic {
		move(on);
		goto again
	}

	/* The unit comes up again, and does what its journal says. */
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
		byte n;
		for (n : 0 .. N - 1) {
			run Unit(n)
		}
	}
}
