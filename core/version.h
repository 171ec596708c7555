/* The version, in one place. */
#ifndef STOKER_CORE_VERSION_H
#define STOKER_CORE_VERSION_H

#define STOKER_VERSION "0.1.0"

#endif
