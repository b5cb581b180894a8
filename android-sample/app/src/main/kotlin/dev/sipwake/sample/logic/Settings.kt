package dev.sipwake.sample.logic

import dev.sipwake.AccountConfig
import dev.sipwake.AccountSetup
import dev.sipwake.Provider
import dev.sipwake.PushConfig
import dev.sipwake.SipWakeException
import dev.sipwake.StateStore
import dev.sipwake.Transport
import java.io.StringReader
import java.io.StringWriter
import java.util.Properties

/**
 * What the user enters. It is checked by the SDK when the user logs in, and nowhere else.
 *
 * @property server the push gateway as `host:port`; empty where the SIP server pushes by itself
 * @property address the SIP address, `sip:alice@example.com`
 * @property login the user name of the digest answer; empty where it is the address's user part
 * @property project what the server knows the app by: the Firebase project
 */
data class Settings(
    val server: String = "",
    val address: String = "",
    val password: String = "",
    val login: String = "",
    val transport: Transport = Transport.TLS,
    val project: String = "",
) {
    fun setup() = AccountSetup(
        AccountConfig(address.trim(), password).copy(
            gateways = listOf(server.trim()).filter { it.isNotEmpty() },
            authUser = login.trim().ifEmpty { null },
            transport = transport,
            userAgent = "sipwake-sample/1",
        ),
        PushConfig(Provider.Fcm, project.trim()),
    )

    /** Holds the password: to be kept encrypted. */
    fun toBytes(): ByteArray {
        val entries = Properties()
        entries += mapOf(
            "server" to server, "address" to address, "password" to password,
            "login" to login, "transport" to transport.name, "project" to project,
        )
        return StringWriter().also { entries.store(it, null) }.toString().encodeToByteArray()
    }

    override fun toString(): String = "Settings(server=$server, address=$address, login=$login, transport=$transport, project=$project)"

    fun saveIn(records: StateStore): Unit = records.save(RECORD, toBytes())

    companion object {
        private const val RECORD = "sample-settings"

        /** What cannot be read or is refused is entered again. */
        fun savedIn(records: StateStore): Settings? = try {
            records.load(RECORD)?.let(::of)?.also { it.setup().account.id() }
        } catch (_: Exception) {
            null
        }

        fun removeFrom(records: StateStore): Unit = records.remove(RECORD)

        /** Returns null for what this version cannot read: the user enters it again. */
        fun of(bytes: ByteArray): Settings? {
            val entries = Properties()
            try {
                entries.load(StringReader(bytes.decodeToString()))
            } catch (_: IllegalArgumentException) {
                return null
            }
            fun entry(name: String): String? = entries.getProperty(name)
            return Settings(
                server = entry("server") ?: return null,
                address = entry("address") ?: return null,
                password = entry("password") ?: return null,
                login = entry("login") ?: return null,
                transport = Transport.entries.find { it.name == entry("transport") } ?: return null,
                project = entry("project") ?: return null,
            )
        }
    }
}

/** The fields of the form that can be wrong. */
enum class Field { SERVER, ADDRESS, PASSWORD, LOGIN, PROJECT }

/**
 * Why the SDK refused the settings.
 *
 * @property field where to show it; absent: above the form
 */
data class Problem(val field: Field?, val reason: String) {
    companion object {
        fun of(error: SipWakeException) = Problem(
            when (error.field) {
                "gateways", "registrar" -> Field.SERVER
                "aor" -> Field.ADDRESS
                "credentials.password" -> Field.PASSWORD
                "auth_user" -> Field.LOGIN
                "push.package" -> Field.PROJECT
                else -> null
            },
            error.reason,
        )
    }
}
