package com.example.phone

import android.app.Activity
import android.os.Bundle
import android.widget.*
import dev.sipwake.*
import dev.sipwake.android.*
import kotlinx.coroutines.*

class App : SipWakeApplication() {
    private val saved get() = getSharedPreferences("user", MODE_PRIVATE)
    private val user get() = saved.getString("address", null)?.let { address ->
        AccountSetup(AccountConfig(address, saved.getString("password", "")!!), PushConfig(Provider.Fcm, "my-project"))
    }

    override fun makePhone() =
        SipWakePhone(this, PhoneSettings(android.R.drawable.sym_action_call), InactiveMedia) { listOfNotNull(user) }

    fun logIn(address: String, password: String) = CoroutineScope(Dispatchers.IO).launch {
        saved.edit().putString("address", address).putString("password", password).commit()
        user?.let { phone.logIn(it) }
    }

    fun logOut() = CoroutineScope(Dispatchers.IO).launch {
        user?.let { phone.logOut(it.account.id()) }
        saved.edit().clear().commit()
    }
}

class MainActivity : Activity() {
    override fun onCreate(state: Bundle?) {
        super.onCreate(state)
        requestPermissions(arrayOf("android.permission.POST_NOTIFICATIONS"), 0)
        val column = LinearLayout(this).apply { orientation = LinearLayout.VERTICAL }
        val (address, password) = List(2) { EditText(this).also(column::addView) }
        fun button(label: String, tap: App.() -> Unit) =
            column.addView(Button(this).apply { text = label; setOnClickListener { (application as App).tap() } })
        button("Log in") { logIn("${address.text}", "${password.text}") }
        button("Log out") { logOut() }
        setContentView(column)
    }
}
